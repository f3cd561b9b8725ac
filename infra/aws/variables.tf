variable "packages" {
  description = "Folder with one RESPONDER.zip for each responder, as `infra/package` makes them."
  type        = string
}

variable "architecture" {
  description = "What the packages were built for."
  type        = string
  default     = "x86_64"
  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be x86_64 or arm64."
  }
}

variable "clusters" {
  description = "EKS clusters by name, that the Kubernetes responders may reach: each gets access entries for them. The first is the cluster of alerts that name none."
  type        = list(string)
  default     = []
}

variable "members" {
  description = "Accounts beside this one to act in, through the role that infra/aws/member makes there."
  type        = set(string)
  default     = []
}

variable "external_id" {
  description = "What the member accounts' roles ask for. Needed with members."
  type        = string
  default     = null
  sensitive   = true
}

variable "organization_id" {
  description = "o-…: its accounts may put their findings on the hub's event bus. Null: no bus, the findings of this account and region alone (or those that a delegated administrator receives)."
  type        = string
  default     = null
}

variable "undo_principals" {
  description = "ARNs of people's and playbooks' roles that may assume the undo role. Nobody else can revert."
  type        = list(string)
  default     = []
}

variable "reserved_concurrency" {
  description = "Runs of one responder at the same time; -1: no reservation."
  type        = number
  default     = 5
}

variable "timeout" {
  description = "Seconds for one invocation. The queue's visibility is six times as long, 90 seconds at least."
  type        = number
  default     = 60
}

variable "log_retention_days" {
  description = "How long the logs are kept."
  type        = number
  default     = 365
}

variable "check_hours" {
  description = "How often each function is asked whether it could act. Two checks that are missed or red raise an alarm."
  type        = number
  default     = 1
  validation {
    condition     = contains([1, 2, 3, 4, 6, 8, 12, 24], var.check_hours)
    error_message = "check_hours must divide a day."
  }
}

variable "kms_key_arn" {
  description = "Customer key for ledger, queues and logs. Null: keys that AWS owns or manages."
  type        = string
  default     = null
}

variable "permissions_boundary" {
  description = "ARN of a boundary for every role that is made."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}
