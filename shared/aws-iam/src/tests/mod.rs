//! IAM on moto.
