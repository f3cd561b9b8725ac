//! The suites that hold the whole of Stanch to its promises.
