//! The Google Cloud wing: GCE targets and the places that can be written.
//!
//! | module | is |
//! |---|---|
//! | [`cloud`] | [`Gcp`]: the client, made once a process; who a target really is; what we may do to it |
//! | [`api`] | [`GceApi`]: the look-ups that a plan gets. The client in it is private: only a slot writes |
//! | [`facts`] | what is read of an instance and its disks, parsed strictly |
//! | [`tag`], [`firewall`], [`ssh_key`] | a network tag, a firewall rule, a key: the places of [`network`] |
//! | [`quarantine`] | the set of rules that cuts an instance off, shared by all that have its tag |
//! | [`bastion`] | the way from an intermediate instance to the quarantined ones |
//! | [`effective`] | what still lets traffic through |
//! | [`external`] | the external address of an interface |
//! | [`protection`], [`labels`] | what keeps an instance from being deleted, and what says that it is looked at |
//! | [`group`] | the managed instance group that holds an instance: found by the instance's id |
//! | [`slot`] | [`GcpSlot`]: every place that this wing writes |
//! | [`snapshot`] | the snapshot of a disk: find ours, take it, wait for it |
//! | [`key`] | customer-supplied encryption keys, which are never printed or recorded |
//! | `mark` | names, labels, request ids and shell words made from names that we were given |
//! | `rest` | Google's APIs as JSON: one attempt a call, operations waited for |
//! | `fault` | what a failed call means |

pub mod api;
pub mod bastion;
mod clients;
pub mod cloud;
pub mod effective;
pub mod external;
pub mod facts;
mod fault;
pub mod firewall;
pub mod group;
mod home;
pub mod key;
pub mod labels;
mod mark;
pub mod network;
pub mod protection;
pub mod quarantine;
mod rest;
pub mod slot;
pub mod snapshot;
pub mod ssh_key;
pub mod tag;

pub use api::{Disk, GceApi};
pub use cloud::Gcp;
pub use external::{External, ExternalSlot, Family};
pub use facts::{AttachedDisk, DiskKind, DiskRef, GceFacts, InstanceRef, NetworkRef, Nic, Place};
pub use firewall::{FirewallSlot, Rule};
pub use group::{GroupRef, Managed};
pub use key::{CsekKeys, DiskKey};
pub use labels::{Labels, LabelsSlot};
pub use mark::{next_order, next_order_with};
pub use network::{NetworkSlot, NetworkState};
pub use protection::ProtectionSlot;
pub use quarantine::{Cidr, Protocols, Quarantine};
pub use slot::{GcpSlot, GcpState};
pub use snapshot::{SnapshotSlot, StorageLocation};
pub use ssh_key::{SshKey, SshKeySlot};
pub use tag::TagSlot;
