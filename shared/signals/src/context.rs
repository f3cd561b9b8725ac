//! What a decoder knows besides the bytes.

use jiff::Timestamp;
use stanch_core::target::Cluster;

/// What a decoder knows besides the bytes.
#[derive(Clone, Debug)]
pub struct Context {
    /// `STANCH_CLUSTER`: the cluster that events without a cluster of their own (Falco) are about.
    pub cluster: Option<Cluster>,
    /// The time now: an alert from the future says so.
    pub now: Timestamp,
}
