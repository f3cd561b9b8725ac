//! What every responder shares: alerts, orders, plans, the guard, the ledger and the driver. No cloud SDK and no
//! I/O of its own: the store, the clock and the cloud are passed in.

pub mod alert;
pub mod clock;
pub mod driver;
pub mod either;
pub mod error;
pub mod guard;
pub mod ledger;
pub mod names;
pub mod order;
pub mod permission;
pub mod plan;
pub mod report;
pub mod responder;
pub mod slot;
pub mod target;

pub use alert::{Alert, Severity, Source};
pub use clock::Clock;
pub use driver::Driver;
pub use either::Either;
pub use error::{Error, Kind, Result};
pub use guard::{AfterRevert, Guard, Leave, Limits, is_control_plane};
pub use ledger::{Brake, Item, Key, Saved, Sibling, Store, Write, brake, set_brake};
pub use names::{IncidentId, RecordId};
pub use order::{Caller, Cause, Mode, Order, Request};
pub use permission::{Check, Permission, Permissions};
pub use plan::{Finding, Plan, Remaining};
pub use report::{Done, DoneState, Report, Status, Undo};
pub use responder::{Api, Cloud, Exemption, Facts, Identity, Known, OptionDoc, Responder, Scene, Trigger};
pub use slot::{Change, Disruption, Mark, Recorded, Seen, Slot};
pub use target::{Scope, Target, TargetKind};
