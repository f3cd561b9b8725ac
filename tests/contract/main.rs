//! One suite that every responder passes, on the cloud that it works in.
#![recursion_limit = "256"]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::large_futures,
    clippy::unnecessary_wraps,
    missing_docs,
    reason = "a test"
)]

mod aws;
mod aws_account;
mod aws_cases;
mod aws_ending;
mod aws_identity;
mod aws_instance;
mod aws_isolation;
mod aws_orders;
mod aws_principals;
mod aws_rights;
mod aws_roles;
mod aws_world;
mod desk;
mod ec2;
mod evaluator;
mod k8s;
mod privilege;
mod suite;
