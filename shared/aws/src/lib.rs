//! The AWS wing: EC2 instances as targets, what can be looked up about them, and the places that can be written.
//!
//! | module | has |
//! |---|---|
//! | `cloud`, `http` | [`Aws`]: one configuration and one HTTP client a process, clients per order |
//! | `reach` | [`Ec2`]: the cloud of a responder, with the clients of its own slots and no others |
//! | `ec2` | [`Ec2Api`]: the look-ups. It has no method that writes; only slots write, in `Slot::write` |
//! | `network`, `state` | further look-ups: groups and addresses, attributes |
//! | `instance`, `interface` | [`Instance`], [`Interface`]: what `identify` reads |
//! | `evidence` | [`Evidence`]: which snapshots count as ours |
//! | `slot` | a type of slot for each subject that can be written |
//! | `error` | one classifier for every SDK error |
//!
//! The SDK clients stay private here: a responder that could reach one could act without a record. Other SDKs (Auto
//! Scaling, load balancers) are in crates of their own beside this one, so that a function's `Cargo.toml` shows what it
//! can touch and no other function waits for them to compile.

mod check;
mod cidr;
mod cloud;
mod ec2;
mod error;
mod even_gone;
mod evidence;
pub mod grants;
mod http;
mod instance;
mod interface;
mod member;
mod network;
mod profile;
mod reach;
mod shell;
mod slot;
mod state;

#[cfg(test)]
mod tests;

/// What a service's clients are made of, for the other parts of the wing: see [`Aws::session_on`].
pub use aws_config::SdkConfig;
pub use check::line as check_line;
pub use cidr::Cidr;
pub use cloud::{Aws, exempt, shared_config};
pub use ec2::{Ec2Api, SnapshotLockInfo};
pub use error::{classify, plain};
pub use even_gone::EvenGone;
pub use evidence::{Captured, Discounted, Evidence};
pub use instance::{Instance, Volume};
pub use interface::{Group, Interface};
pub use network::{Address, Found};
pub use profile::Associated;
pub use reach::{Ec2, Reach};
pub use shell::{next_order, word};
pub use slot::{
    AddressSlot, AddressState, AutoAssign, DeleteOnTermination, ElasticIp, InstanceAttribute, InstanceTag,
    InterfaceGroups, Ipv6Address, IsolationSlot, IsolationState, MAX_EXCLUDED, Manner, NoAddress, Place, Presence,
    ProfileSlot, ProfileState, ProfileToken, Protection, ProtectionSlot, ProtectionState, QuarantineGroup, Rules,
    SnapshotLock, SnapshotSet, SnapshotSlot, SnapshotState, SnapshotToken, TagSlot, TagState, TerminationSlot,
    TerminationState, name_of, tag_value,
};
