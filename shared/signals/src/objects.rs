//! Kubernetes objects that are findings: reports of policy engines and of Trivy, alone or in a `List`, as an operator's
//! webhook or a controller sends them.

use stanch_core::{Alert, Error, Result, target::Cluster};

use crate::{Context, at::At, policy_report, trivy};

/// Items of a list that are read.
const MAX_ITEMS: usize = 500;

/// Does the object look like one of these kinds, or like a list?
pub(crate) fn is_report(at: &At<'_>) -> bool {
    let version = at.get("apiVersion").ok().and_then(|at| at.text().ok().flatten());
    version.is_some_and(|it| it == "v1" || policy_report::is_group(it) || trivy::is_group(it))
}

/// The alerts of an object.
pub(crate) fn alerts(at: &At<'_>, context: &Context) -> Result<Vec<Result<Alert>>> {
    let cluster = context.cluster.as_ref().ok_or_else(|| {
        Error::invalid("", "a report does not name its cluster: STANCH_CLUSTER must name the cluster")
    })?;
    // Trivy's webhook, where it also sends what it deletes.
    let inner = at.get("operatorObject")?;
    if inner.is_present() {
        let verb = at.get("verb")?;
        let deleted = verb.text()?.is_some_and(|verb| verb.eq_ignore_ascii_case("delete"));
        let mut alerts = object(&inner, cluster)?;
        for alert in alerts.iter_mut().flatten().filter(|_| deleted) {
            alert.inactive = Some("the report was deleted".to_owned());
        }
        return Ok(alerts);
    }
    object(at, cluster)
}

fn object(at: &At<'_>, cluster: &Cluster) -> Result<Vec<Result<Alert>>> {
    let kind = at.get("kind")?;
    if kind.required_text()?.ends_with("List") {
        let items = at.get("items")?;
        let list = items.items()?;
        if list.len() > MAX_ITEMS {
            return Err(items.wrong("must hold at most 500 objects"));
        }
        let read = |item: &At<'_>| one(item, cluster).unwrap_or_else(|error| vec![Err(error)]);
        return Ok(list.iter().flat_map(read).collect());
    }
    one(at, cluster)
}

fn one(at: &At<'_>, cluster: &Cluster) -> Result<Vec<Result<Alert>>> {
    let (version, kind) = (at.get("apiVersion")?, at.get("kind")?);
    let (group, name) = (version.required_text()?, kind.required_text()?);
    if policy_report::is_group(group) && policy_report::KINDS.contains(&name) {
        return policy_report::alerts(at, cluster);
    }
    if trivy::is_group(group) && trivy::KINDS.contains(&name) {
        return Ok(vec![trivy::alert(at, cluster)]);
    }
    Err(kind.wrong("is not a report that Stanch knows"))
}
