//! The Kubernetes wing: nodes and pods, and the places that can be written.
