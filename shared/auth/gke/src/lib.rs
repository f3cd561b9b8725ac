//! Cluster access for Google Kubernetes Engine.
