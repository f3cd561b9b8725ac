//! Where a responder runs: Lambda, HTTP, Pub/Sub pull, a terminal.
