//! The Google Cloud wing: GCE targets and the places that can be written.
//!
//! | module | is |
//! |---|---|
//! | [`cloud`] | [`Gcp`]: the clients, made once a process; who a target really is; what we may do to it |
//! | [`account`] | [`IamApi`]: service accounts as targets, and who uses one |
//! | [`api`] | [`GceApi`]: the look-ups that a plan gets. The clients in it are private: only a slot writes |
//! | [`facts`] | what is read of an instance and its disks, parsed strictly |
//! | [`bastion`] | the way from an intermediate instance to the quarantined ones |
//! | [`effective`] | what still lets traffic through |
//! | [`external`] | the external address of an interface |
//! | [`evidence`] | whether the disks of an instance were captured for an incident |
//! | [`gone`] | [`GcpOrGone`]: the same, where a target that is not there any more is what was wanted |
//! | [`group`] | the managed instance group that holds an instance: found by the instance's id |
//! | [`iam`] | whether a service account works, who speaks as it, its keys |
//! | [`identity`] | the service account on an instance, and its power, which must be off to change it |
//! | [`membership`] | an instance in its group, the group's size, and whether the instance is there |
//! | [`protection`], [`labels`] | what keeps an instance from being deleted, and what says that it is looked at |
//! | [`quarantine`] | the set of rules that cuts an instance off, shared by all that have its tag |
//! | [`tag`], [`firewall`], [`ssh_key`] | a network tag, a firewall rule, a key: the places of [`network`] |
//! | [`slot`] | [`GcpSlot`]: the place that capturing writes |
//! | [`snapshot`] | the snapshot of a disk: find ours, take it, wait for it |
//! | [`key`] | customer-supplied encryption keys, which are never printed or recorded |
//! | `mark` | names, labels, request ids and shell words made from names that we were given |
//! | `power` | the calls on one instance, by its number |
//! | `wait` | operations, which may fail after they were accepted |
//! | `rest` | IAM, managed groups and operations: what an SDK client would be out of proportion to |
//! | `fault` | what a failed call means |

pub mod account;
pub mod api;
pub mod bastion;
mod clients;
pub mod cloud;
pub mod effective;
pub mod evidence;
pub mod external;
pub mod facts;
mod fault;
pub mod firewall;
pub mod gone;
pub mod group;
mod home;
pub mod iam;
pub mod identity;
pub mod key;
pub mod labels;
mod mark;
pub mod membership;
pub mod network;
mod power;
pub mod protection;
pub mod quarantine;
mod rest;
pub mod slot;
pub mod snapshot;
pub mod ssh_key;
pub mod tag;
mod wait;

pub use account::{AccountFacts, IamApi};
pub use api::{Disk, GceApi};
pub use cloud::Gcp;
pub use evidence::Captured;
pub use external::{External, ExternalSlot, Family};
pub use facts::{AttachedDisk, DiskKind, DiskRef, GceFacts, InstanceRef, NetworkRef, Nic, Place};
pub use firewall::{FirewallSlot, Rule};
pub use gone::GcpOrGone;
pub use group::{GroupRef, Managed};
pub use iam::{AccountSlot, IamSlot, IamState};
pub use identity::{IdentitySlot, IdentityState, PowerSlot};
pub use key::{CsekKeys, DiskKey};
pub use labels::{Labels, LabelsSlot};
pub use mark::{next_order, next_order_with};
pub use membership::{MembershipSlot, MembershipState};
pub use network::{NetworkSlot, NetworkState};
pub use protection::ProtectionSlot;
pub use quarantine::{Cidr, Protocols, Quarantine};
pub use slot::{GcpSlot, GcpState};
pub use snapshot::{SnapshotSlot, StorageLocation};
pub use ssh_key::{SshKey, SshKeySlot};
pub use tag::TagSlot;
