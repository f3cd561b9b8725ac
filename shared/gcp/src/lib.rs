//! The Google Cloud wing: GCE targets and the places that can be written.
