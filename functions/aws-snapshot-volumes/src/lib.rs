//! Snapshots every EBS volume of an EC2 instance as one crash-consistent set.
