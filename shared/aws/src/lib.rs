//! The AWS wing: EC2 targets and the places that can be written.
