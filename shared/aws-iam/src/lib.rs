//! The part of the AWS wing that reads and writes IAM. A crate of its own, so that a function whose Cargo.toml does not
//! name it cannot touch an identity.
//!
//! | module | has |
//! |---|---|
//! | `api` | [`IamApi`]: the look-ups. It has no method that writes; only [`IamSlot`] writes, in `Slot::write` |
//! | `cloud` | [`AwsIam`]: IAM principals as targets |
//! | `principal` | [`Principal`]: what `identify` reads, and who must never be contained |
//! | `policy` | [`Policy`]: documents, compared by what they say and kept as they were written |
//! | `deny` | the documents that we write |
//! | `trust` | [`Trust`]: who may assume a role, and how the way back in is closed |
//! | `slot` | [`IamSlot`]: one variant for each place that can be written |

mod api;
pub mod check;
mod cloud;
pub mod deny;
mod policy;
mod principal;
mod slot;
mod trust;

pub use api::{IamApi, InstanceProfile};
pub use cloud::AwsIam;
pub use policy::Policy;
pub use principal::{Principal, Who, is_caller};
pub use slot::{IamSlot, IamState, Inline, policy_name};
pub use trust::{Trust, Web, closed, subject};
