//! Where a responder runs: Lambda, HTTP, Pub/Sub pull, a terminal. One binary finds out by itself; see [`Binary`].
//!
//! | what is there | host |
//! |---|---|
//! | arguments | the terminal, whatever the environment |
//! | `AWS_LAMBDA_RUNTIME_API` | Lambda |
//! | `PORT` | HTTP, for Cloud Run, Kubernetes and any sender of `CloudEvents` |
//! | `STANCH_SUBSCRIPTION` | Pub/Sub streaming pull |
//! | nothing | the terminal's help, exit code 2 |
//!
//! A binary links the hosts and stores that its `main` names, and no other.
//!
//! # Environment
//! | variable | holds |
//! |---|---|
//! | `STANCH_MODE` | `observe` (default): plan and report. `enforce`: act. Not for the terminal |
//! | `STANCH_GUARD` | [`stanch_core::Guard`], YAML or JSON, inline or the path of a file |
//! | `STANCH_LEDGER` | `sqlite:PATH`, `dynamodb:TABLE`, … On a terminal: SQLite in the state folder |
//! | `STANCH_CLUSTER` | the cluster of events and target flags that name none |
//! | `STANCH_CALLERS` | HTTP: who may send events and orders, and how they prove who they are |
//! | `STANCH_TIMEOUT` | HTTP and pull: seconds for one delivery, 300 if absent |
//! | `STANCH_SUBSCRIPTION` | pull: `projects/P/subscriptions/S` |
//! | `STANCH_DEAD_LETTER` | HTTP and pull: the topic that keeps what failed for good, `projects/P/topics/T` |
//! | `RUST_LOG` | `LEVEL` or `TARGET=LEVEL,…` |

mod answer;
mod binary;
mod callers;
mod clock;
mod config;
mod dead_letter;
mod ending;
mod engine;
mod env;
mod http;
mod lambda;
mod logs;
mod orders;
mod out;
mod pubsub;
mod store;
mod terminal;
mod trace;
mod yaml;

pub use binary::Binary;
