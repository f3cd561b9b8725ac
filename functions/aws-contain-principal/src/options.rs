//! What it can be told.

use std::str::FromStr;

use serde::Deserialize;
use stanch_core::{
    Error, Result,
    names::{EksName, KubeName, Namespace, Region},
};

/// What it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Which of a role's sessions are denied.
    pub deny: Deny,
    /// The one service account that is accused.
    pub service_account: Option<ServiceAccountName>,
    /// Where Pod Identity associations are looked for.
    pub clusters: Option<Vec<ClusterName>>,
    /// Detach the managed policies as well.
    pub detach_policies: bool,
}

/// Which of a role's sessions are denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deny {
    /// Those that were issued before.
    #[default]
    Older,
    /// All.
    All,
}

/// A Kubernetes service account, as `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ServiceAccountName {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: KubeName,
}

/// An EKS cluster of the principal's account, as `region/name`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ClusterName {
    /// Its region.
    pub region: Region,
    /// Its name.
    pub name: EksName,
}

impl TryFrom<String> for ServiceAccountName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let (namespace, name) = two(&text).ok_or_else(|| Error::invalid("", "must be namespace/name"))?;
        Ok(Self { namespace, name })
    }
}

impl TryFrom<String> for ClusterName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let (region, name) = two(&text).ok_or_else(|| Error::invalid("", "must be region/name"))?;
        Ok(Self { region, name })
    }
}

fn two<A: FromStr, B: FromStr>(text: &str) -> Option<(A, B)> {
    let (one, other) = text.split_once('/')?;
    Some((one.parse().ok()?, other.parse().ok()?))
}
