//! The AWS wing: Auto Scaling groups.
//!
//! A group replaces what it loses. So whoever cuts an instance has to know whether a group would end it for that, and
//! what is taken out of a group can be kept.
//!
//! | module | has |
//! |---|---|
//! | `grouped` | [`InGroup`]: the cloud of a responder that cuts an instance; it finds the group as well |
//! | `api` | [`ScalingApi`]: the look-ups |
//! | `slot` | [`ScalingSlot`]: what can be written about a member of a group |

mod api;
mod grouped;
mod slot;

pub use api::{Group, Lifecycle, ScalingApi};
pub use grouped::{Grouped, InGroup};
pub use slot::{Membership, ScaleIn, ScalingSlot, ScalingState};
