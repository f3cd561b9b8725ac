//! Who sends: proved before a body is read, and listed for events, for orders, or for both.
//!
//! `STANCH_CALLERS`:
//! ```yaml
//! oidc:
//!   - audience: https://stanch.example.com
//!     events: [pusher@my-project.iam.gserviceaccount.com]
//!     orders: [alice@example.com]
//! kubernetes:
//!   audience: stanch
//!   events: ["system:serviceaccount:falco:falcosidekick"]
//! mtls:
//!   certificate: /tls/tls.crt
//!   key: /tls/tls.key
//!   clients: /tls/ca.crt
//!   events: [spiffe://cluster.local/ns/falco/sa/falcosidekick]
//! ```

mod jwks;
mod jwt;
mod local;
mod oidc;
mod token_review;

use std::{path::PathBuf, sync::Arc};

use http::{HeaderMap, header};
use serde::Deserialize;
use stanch_core::{Caller, Error, Result};
use tokio_rustls::rustls::ServerConfig;

use crate::{
    env::Env,
    http::{Peer, tls_config},
    yaml,
};

/// More than any issuer's token.
const MAX_TOKEN: usize = 8 * 1024;

/// What `STANCH_CALLERS` holds.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Policy {
    oidc: Vec<oidc::Issuer>,
    kubernetes: Option<token_review::Cluster>,
    mtls: Option<Mtls>,
}

/// Clients' certificates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mtls {
    /// Ours, with its chain.
    certificate: PathBuf,
    key: PathBuf,
    /// The authority of the clients' certificates.
    clients: PathBuf,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    orders: Vec<String>,
}

/// A caller that has proved who it is.
#[derive(Clone, Debug)]
pub(crate) struct Proved {
    pub(crate) caller: Caller,
    pub(crate) events: bool,
    pub(crate) orders: bool,
}

/// Why a request is not listened to.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Who sends is not known.
    Unproved(String),
    /// Who sends is known, and not listed.
    Forbidden(String),
    /// It cannot be found out now.
    Unavailable(String),
}

/// Proves callers.
pub(crate) enum Callers {
    /// Without a policy: whoever is on this machine.
    Local,
    /// By a policy.
    Listed { oidc: Vec<oidc::Oidc>, kubernetes: Option<Box<token_review::TokenReview>>, mtls: Option<Box<MtlsNames>> },
}

/// The mTLS part of a policy, in use.
pub(crate) struct MtlsNames {
    tls: Arc<ServerConfig>,
    events: Vec<String>,
    orders: Vec<String>,
}

impl Callers {
    /// Reads the policy.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Invalid`], naming the field.
    pub(crate) fn read(env: &Env) -> Result<Self> {
        const NAME: &str = "STANCH_CALLERS";
        let Some(text) = env.text(NAME)? else { return Ok(Self::Local) };
        let policy: Policy = yaml::setting(NAME, &text)?;
        let within = |error: Error| error.within(NAME);
        if policy.oidc.is_empty() && policy.kubernetes.is_none() && policy.mtls.is_none() {
            return Err(Error::invalid(NAME, "must name oidc, kubernetes or mtls"));
        }
        let oidc = policy
            .oidc
            .into_iter()
            .enumerate()
            .map(|(index, issuer)| oidc::Oidc::new(issuer).map_err(|error| error.within(&format!("oidc[{index}]"))))
            .collect::<Result<_>>()
            .map_err(within)?;
        let kubernetes = policy
            .kubernetes
            .map(|cluster| {
                token_review::TokenReview::new(cluster, env).map(Box::new).map_err(|error| error.within("kubernetes"))
            })
            .transpose()
            .map_err(within)?;
        let mtls = policy
            .mtls
            .map(|it| {
                let tls = tls_config(&it.certificate, &it.key, &it.clients).map_err(|error| error.within("mtls"))?;
                Ok(Box::new(MtlsNames { tls, events: it.events, orders: it.orders }))
            })
            .transpose()
            .map_err(within)?;
        Ok(Self::Listed { oidc, kubernetes, mtls })
    }

    /// Only this machine is served.
    pub(crate) const fn are_local(&self) -> bool {
        matches!(self, Self::Local)
    }

    /// TLS, if certificates are asked for.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        match self {
            Self::Listed { mtls: Some(mtls), .. } => Some(Arc::clone(&mtls.tls)),
            _ => None,
        }
    }

    /// Fetches what every proof needs, before the first request.
    pub(crate) async fn warm(&self) {
        if let Self::Listed { oidc, .. } = self {
            for issuer in oidc {
                issuer.warm().await;
            }
        }
    }

    /// Who sends this request.
    ///
    /// # Errors
    /// A [`Refusal`], with the reason for the log.
    pub(crate) async fn prove(&self, headers: &HeaderMap, peer: &Peer) -> Result<Proved, Refusal> {
        let Self::Listed { oidc, kubernetes, mtls } = self else { return local::prove(headers) };
        if let Some(proved) = mtls.as_ref().and_then(|mtls| mtls.prove(peer)) {
            return listed(proved);
        }
        let token = bearer(headers)?;
        let claimed = jwt::peek(token).ok_or_else(|| unproved("the token is no JWT"))?;
        let mut refusal = None;
        for issuer in oidc.iter().filter(|issuer| claimed.iss.as_deref() == Some(issuer.name())) {
            match issuer.prove(token).await {
                Ok(proved) => return listed(proved),
                Err(error) => refusal = Some(error),
            }
        }
        match (refusal, kubernetes) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(cluster)) => listed(cluster.prove(token, &claimed).await?),
            (None, None) => Err(unproved("the token is of an issuer that the policy does not name")),
        }
    }
}

impl MtlsNames {
    fn prove(&self, peer: &Peer) -> Option<Proved> {
        let is_listed = |name: &&String| self.events.contains(name) || self.orders.contains(name);
        let name = peer.names.iter().find(is_listed).or_else(|| peer.names.first())?;
        // The transport itself excludes replays.
        Some(proved(name.clone(), None, &self.events, &self.orders))
    }
}

/// A proved identity and what it is listed for.
fn proved(id: String, at: Option<jiff::Timestamp>, events: &[String], orders: &[String]) -> Proved {
    let (events, orders) = (events.contains(&id), orders.contains(&id));
    Proved { caller: Caller { id, proved_at: at }, events, orders }
}

/// Refuses whoever is listed for nothing, before the body is read.
fn listed(proved: Proved) -> Result<Proved, Refusal> {
    if proved.events || proved.orders {
        Ok(proved)
    } else {
        Err(Refusal::Forbidden(format!("{} is not listed", crate::out::plain(&proved.caller.id))))
    }
}

fn unproved(why: &str) -> Refusal {
    Refusal::Unproved(why.to_owned())
}

/// The one bearer token.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(unproved("there must be one Authorization header"));
    };
    let text = value.to_str().map_err(|_| unproved("the Authorization header is not ASCII"))?;
    let (scheme, token) = text.split_once(' ').ok_or_else(|| unproved("the Authorization header holds no token"))?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.len() > MAX_TOKEN {
        return Err(unproved("the Authorization header holds no bearer token"));
    }
    Ok(token.trim())
}
