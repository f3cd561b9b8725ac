//! Cordons and taints the node that an alert names.
