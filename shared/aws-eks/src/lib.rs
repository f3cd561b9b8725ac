//! The part of the AWS wing that reads and writes EKS Pod Identity associations. A crate of its own, so that only a
//! function whose Cargo.toml names it can touch them.
//!
//! An association gives the pods of a service account a role. Without it the agent on the node hands out no new
//! credentials; those that are out are denied by another slot.
//!
//! Sources: Amazon EKS API Reference "`ListPodIdentityAssociations`", "`DescribePodIdentityAssociation`",
//! "`DeletePodIdentityAssociation`", "`CreatePodIdentityAssociation`".

mod api;
mod slot;

pub use api::{EksApi, PodIdentity};
pub use slot::{PodIdentitySlot, PodIdentityState, PodIdentityToken};
