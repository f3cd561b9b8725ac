//! The hosts, as processes over real sockets: `examples/responder.rs` is the responder that they run.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on says why")]

mod callers;
mod emulator;
mod http;
mod lambda;
mod mtls;
mod pull;
mod support;
mod terminal;
