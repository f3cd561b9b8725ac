//! The part of the AWS wing that writes EKS.
