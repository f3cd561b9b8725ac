//! Whole incidents through the release binaries: the real trigger, the real protocol, and the cloud's own word on what
//! came of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test"
)]

mod aws;
mod callers;
mod eks;
mod gcp;
mod hostile;
mod k8s;
mod package;
mod service;
