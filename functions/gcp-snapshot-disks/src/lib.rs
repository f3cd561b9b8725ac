//! Snapshots every persistent disk of a GCE instance.
