//! What a decoder knows besides the bytes.

use std::fmt::Display;

use jiff::Timestamp;
use stanch_core::{Error, names::AccountId, target::Cluster};

/// What a decoder knows besides the bytes.
#[derive(Clone, Debug)]
pub struct Context {
    /// `STANCH_CLUSTER`: the cluster that events without a cluster of their own (Falco) are about.
    pub cluster: Option<Cluster>,
    /// The time now: an alert from the future says so.
    pub now: Timestamp,
    /// `STANCH_DETECTOR_ACCOUNTS`: the accounts that may speak for others (a delegated administrator of GuardDuty or
    /// Security Hub). From any other account an event about somebody else's resource is refused.
    pub detector_accounts: Vec<AccountId>,
    /// How much is read.
    pub limits: Limits,
}

impl Context {
    /// With the usual limits, and no account that speaks for others.
    pub fn new(cluster: Option<Cluster>, now: Timestamp) -> Self {
        Self { cluster, now, detector_accounts: Vec::new(), limits: Limits::default() }
    }
}

/// The usual `limit.body`.
pub const MAX_BYTES: usize = 1024 * 1024;

/// How much is read. What is beyond is refused, with an error that names the limit: `limit.body` and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `limit.body`: bytes of a body.
    pub body: usize,
    /// `limit.event-bridge`: bytes of the `detail` of an EventBridge event. EventBridge itself takes no more.
    pub event_bridge: usize,
    /// `limit.pubsub`: bytes of a Pub/Sub message, where the body's limit lets one that large through.
    pub pubsub: usize,
    /// `limit.nesting`: objects and lists inside one another. Kubernetes' own objects stay below 40.
    pub nesting: u32,
    /// `limit.members`: members of one object, since all keys of an object must be known to find one that stands
    /// twice.
    pub members: usize,
    /// `limit.findings`: findings, messages or events in one body that can become alerts. Audit events are not
    /// counted: most become none.
    pub findings: usize,
    /// `limit.expansion`: bytes that a gzip stream may become.
    pub expansion: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: MAX_BYTES,
            event_bridge: 256 * 1024,
            pubsub: 10 * 1024 * 1024,
            nesting: 128,
            members: 10_000,
            findings: 1000,
            expansion: 16 * 1024 * 1024,
        }
    }
}

impl Limits {
    pub(crate) fn exceeded(field: &str, name: &str, limit: impl Display) -> Error {
        Error::invalid(field, format!("exceeds limit.{name} ({limit})"))
    }
}
