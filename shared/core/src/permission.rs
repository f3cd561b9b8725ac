//! What a responder needs to be allowed: the one source for IAM policies, custom roles, RBAC and documentation.

use std::fmt;

use serde::Serialize;

/// One thing that must be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// An IAM action, e.g. `ec2:CreateSnapshots`.
    Aws(&'static str),
    /// A Google Cloud permission, e.g. `compute.disks.createSnapshot`.
    Gcp(&'static str),
    /// Verbs on a Kubernetes resource.
    Kube {
        /// The API group; empty for the core group.
        group: &'static str,
        /// The resource, with its subresource: `nodes`, `pods/eviction`.
        resource: &'static str,
        /// `get`, `list`, `patch` …
        verbs: &'static [&'static str],
    },
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws(action) => f.write_str(action),
            Self::Gcp(permission) => f.write_str(permission),
            Self::Kube { group: "", resource, verbs } => write!(f, "{} {resource}", verbs.join(",")),
            Self::Kube { group, resource, verbs } => write!(f, "{} {resource}.{group}", verbs.join(",")),
        }
    }
}

/// The permissions of the three parts. The deployed function has plan and apply; revert runs under a second role
/// that only people and playbooks assume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Permissions {
    /// To look.
    pub plan: &'static [Permission],
    /// To act, beyond `plan`.
    pub apply: &'static [Permission],
    /// To undo, beyond `plan`.
    pub revert: &'static [Permission],
}

/// One line of `check`: can the responder act here, today?
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was tried.
    pub what: String,
    /// Whether it works.
    pub ok: bool,
    /// What is missing, or what was found.
    pub detail: String,
}
