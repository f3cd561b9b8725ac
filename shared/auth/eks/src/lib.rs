//! Cluster access for Amazon EKS.
