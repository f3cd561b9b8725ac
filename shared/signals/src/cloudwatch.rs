//! Subscriptions of CloudWatch Logs ("Real-time processing of log data with subscriptions"): base64 of gzip of JSON.
//! Read are EKS's control-plane logs ("Send control plane logs to CloudWatch Logs"): of `/aws/eks/CLUSTER/cluster` the
//! streams `kube-apiserver-audit-…`; the streams beside them are no audit and become no alert.
//!
//! - A control message, by which CloudWatch tries the way, is answered with no alert.
//! - The log group names account and cluster, not the region: `STANCH_CLUSTER` must be the same cluster.
//! - A message that is cut (CloudWatch cuts at 256 KiB) is an error of its own; the others are read.

use std::io::Read;

use flate2::bufread::GzDecoder;
use stanch_core::{Alert, Error, Result, names::AccountId, target::Cluster};

use crate::{
    Context, Limits,
    at::At,
    audit::{self, Batch},
    document::Document,
};

/// Does it begin as a gzip stream does (RFC 1952)?
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// What a gzip stream holds: one member, nothing behind it, and no more than the limit.
pub(crate) fn expand(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let broken = || Error::invalid("", "must be a gzip stream of one member");
    let mut reader = GzDecoder::new(bytes);
    let mut expanded = Vec::new();
    let most = u64::try_from(limits.expansion).unwrap_or(u64::MAX).saturating_add(1);
    reader.by_ref().take(most).read_to_end(&mut expanded).map_err(|_| broken())?;
    if expanded.len() > limits.expansion {
        return Err(Limits::exceeded("", "expansion", limits.expansion));
    }
    if !reader.into_inner().is_empty() {
        return Err(broken());
    }
    Ok(expanded)
}

/// The alerts of a subscription's payload.
pub(crate) fn alerts(payload: &At<'_>, context: &Context) -> Result<Vec<Result<Alert>>> {
    let kind = payload.get("messageType")?;
    match kind.text()? {
        Some("CONTROL_MESSAGE") => return Ok(Vec::new()),
        Some("DATA_MESSAGE") => {}
        _ => return Err(kind.wrong("must be DATA_MESSAGE or CONTROL_MESSAGE")),
    }
    let cluster = cluster(payload, context)?;
    if !payload.get("logStream")?.required_text()?.starts_with("kube-apiserver-audit-") {
        return Ok(Vec::new());
    }
    let mut batch = Batch::new(context);
    for event in payload.get("logEvents")?.each()? {
        let message = event.get("message")?;
        let text = message.required_text()?;
        match Document::read(text.as_bytes(), &context.limits) {
            Ok(document) if audit::is_event(&document.top()) => batch.add(&document.top(), cluster),
            Ok(_) => batch.item(Err(message.wrong("must be an audit event of Kubernetes"))),
            Err(error) => batch.item(Err(error.within(&message.path()))),
        }
    }
    Ok(batch.items)
}

/// `STANCH_CLUSTER`, which the log must be of.
fn cluster<'c>(payload: &At<'_>, context: &'c Context) -> Result<&'c Cluster> {
    let group = payload.get("logGroup")?;
    let name = group.required_text()?.strip_prefix("/aws/eks/").and_then(|rest| rest.strip_suffix("/cluster"));
    let name = name.ok_or_else(|| group.wrong("must be /aws/eks/CLUSTER/cluster"))?;
    let owner = payload.get("owner")?;
    let of_log = owner.name::<AccountId>()?.ok_or_else(|| owner.missing())?;
    let cluster = audit::cluster(context)?;
    match cluster {
        Cluster::Eks { account, name: known, .. } if *account != of_log || known.as_str() != name => {
            Err(group.wrong("is of another cluster than STANCH_CLUSTER"))
        }
        Cluster::Gke { .. } => Err(group.wrong("is of another cluster than STANCH_CLUSTER")),
        _ => Ok(cluster),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut writer = GzEncoder::new(Vec::new(), Compression::best());
        writer.write_all(bytes).expect("to memory");
        writer.finish().expect("to memory")
    }

    #[test]
    fn one_member_within_the_limit_is_expanded() -> Result<()> {
        let limits = Limits { expansion: 1000, ..Limits::default() };
        assert_eq!(expand(&packed(&[b'x'; 1000]), &limits)?, vec![b'x'; 1000]);
        let error = expand(&packed(&[b'x'; 1001]), &limits).expect_err("too long");
        assert!(error.to_string().contains("limit.expansion"), "{error}");
        Ok(())
    }

    #[test]
    fn anything_behind_and_anything_broken_is_refused() {
        let one = packed(b"{}");
        let two = [one.clone(), one.clone()].concat();
        let behind = [one.clone(), vec![0]].concat();
        let mut changed = one.clone();
        if let Some(byte) = changed.iter_mut().rev().nth(5) {
            *byte ^= 1;
        }
        for broken in
            [&two[..], &behind[..], &changed[..], one.get(..one.len() - 1).unwrap_or_default(), b"", b"\x1f\x8b"]
        {
            assert!(expand(broken, &Limits::default()).is_err(), "{broken:?}");
        }
    }
}
