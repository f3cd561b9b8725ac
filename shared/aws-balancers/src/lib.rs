//! The AWS wing: load balancers.
//!
//! Nothing tells which target groups an instance is in, so every target group that could hold it is asked.
//!
//! | module | has |
//! |---|---|
//! | `api` | [`BalancersApi`]: the look-ups |
//! | `slot` | [`BalancerSlot`]: whether an instance is registered |

mod api;
mod slot;

pub use api::{BalancersApi, Registered};
pub use slot::{BalancerSlot, BalancerState, ClassicBalancer, GroupTarget};
