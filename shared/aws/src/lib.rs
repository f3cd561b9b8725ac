//! The AWS wing: EC2 instances as targets, what can be looked up about them, and the places that can be written.
//!
//! | module | has |
//! |---|---|
//! | `cloud` | [`Aws`]: one configuration and one HTTP client a process, clients per order |
//! | `ec2` | [`Ec2Api`]: the look-ups. It has no method that writes; only [`AwsSlot`] writes, in `Slot::write` |
//! | `instance` | [`Instance`]: what `identify` reads |
//! | `evidence` | [`Evidence`]: which snapshots count as ours |
//! | `slot` | [`AwsSlot`]: one variant for each place that can be written |
//! | `error` | one classifier for every SDK error |
//!
//! The SDK clients stay private here: a responder that could reach one could act without a record.

mod check;
mod cloud;
mod ec2;
mod error;
mod evidence;
mod http;
mod instance;
mod shell;
mod slot;

#[cfg(test)]
mod tests;

pub use cloud::{Aws, shared_config};
pub use ec2::{Ec2Api, SnapshotLockInfo};
pub use evidence::{Captured, Discounted, Evidence};
pub use instance::{Instance, Volume};
pub use slot::{AwsSlot, AwsState, AwsToken, MAX_EXCLUDED, SnapshotLock, SnapshotSet};
