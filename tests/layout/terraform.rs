//! The variables that `infra/aws` and `infra/gcp` have in common.

use std::collections::BTreeMap;

const COMMON: &str = r#"# What this module has in common with its sibling for the other cloud. Generated.

variable "name" {
  description = "Prefix of everything that is made."
  type        = string
  default     = "stanch"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "name must be 1 to 20 small letters, digits and hyphens, and start with a letter: other names are made of it."
  }
}

variable "responders" {
  description = "Which responders to deploy, Kubernetes ones included; null: DEFAULT."
  type        = set(string)
  default     = null
}

variable "mode" {
  description = "observe: plan and report, write nothing. enforce: act."
  type        = string
  default     = "observe"
  validation {
    condition     = contains(["observe", "enforce"], var.mode)
    error_message = "mode must be observe or enforce."
  }
}

variable "guard" {
  description = "The guard, as in the README (exempt, limits, severity_floor …). Empty: what this module knows of, and nothing else."
  type        = any
  default     = {}
}

variable "auto" {
  description = "Order responders that an event may set off all the same: each is wired, and listed in the guard."
  type        = set(string)
  default     = []
}

variable "alert_email" {
  description = "Who hears of errors, dead letters and failed checks. Null: nobody; the alarms are there all the same."
  type        = string
  default     = null
}

variable "protect_ledger" {
  description = "Whether the ledger is protected from deletion: it holds what undo needs."
  type        = bool
  default     = true
}
"#;

/// Path and text.
pub(crate) fn files() -> BTreeMap<String, String> {
    let common = |wing: &str, all: &str| (format!("infra/{wing}/common.tf"), COMMON.replace("DEFAULT", all));
    BTreeMap::from([
        common("aws", "all that run on AWS (the AWS and the Kubernetes ones)"),
        common("gcp", "the Google Cloud ones"),
    ])
}
