variable "project" {
  description = "Where the services, the topics and the ledger are."
  type        = string
}

variable "projects" {
  description = "Other projects to act in."
  type        = set(string)
  default     = []
}

variable "region" {
  description = "Of the services."
  type        = string
}

variable "ledger_location" {
  description = "Of the Firestore database: a region or a multi-region such as eur3."
  type        = string
}

variable "name" {
  description = "Prefix of everything that is made."
  type        = string
  default     = "stanch"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "name must be 1 to 20 small letters, digits and hyphens, and start with a letter."
  }
}

variable "images" {
  description = "Where the images are, e.g. europe-docker.pkg.dev/acme-sec/stanch."
  type        = string
}

variable "image_tag" {
  description = "Tag or, better, @sha256 digest of the images."
  type        = string
}

variable "responders" {
  description = "Which responders to deploy, Kubernetes ones included; null: the Google Cloud ones."
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
  description = "The guard, as in the README. Empty: these projects and clusters, and nothing else."
  type        = any
  default     = {}
}

variable "auto" {
  description = "Order responders that an event may set off all the same."
  type        = set(string)
  default     = []
}

variable "clusters" {
  description = "GKE clusters that the Kubernetes responders act in, as gke:PROJECT/LOCATION/NAME."
  type        = list(string)
  default     = []
}

variable "order_identities" {
  description = "E-mail addresses of people and playbooks that may send orders over HTTP."
  type        = list(string)
  default     = []
}

variable "undo_members" {
  description = "IAM members (user:…, group:…, serviceAccount:…) that may revert, from their own terminal."
  type        = list(string)
  default     = []
}

variable "organization" {
  description = "Number of the organization whose Security Command Center notifies; null: no notification is set up."
  type        = string
  default     = null
}

variable "log_filter" {
  description = "Which log entries are alerts. The default: what docs/signals.md names for GKE."
  type        = string
  default     = <<-EOT
    (resource.type="k8s_cluster" AND protoPayload.methodName=~"^io\.k8s\.core\.v1\.pods\.(exec|attach|portforward)\.(create|get)$")
    OR (resource.type="k8s_cluster" AND protoPayload.authenticationInfo.principalEmail="system:anonymous" AND protoPayload.authorizationInfo.granted=true)
    OR (resource.type="k8s_container" AND jsonPayload.rule:* AND jsonPayload.priority=("Critical" OR "Alert" OR "Emergency"))
  EOT
}

variable "alert_email" {
  description = "Who hears of dead letters and errors. Null: nobody."
  type        = string
  default     = null
}

variable "min_instances" {
  description = "Services kept warm. 0 costs nothing while nothing happens; a cold start takes milliseconds of ours and about a second of the platform's."
  type        = number
  default     = 0
}

variable "protect_ledger" {
  description = "Whether the ledger is protected from deletion: it holds what undo needs."
  type        = bool
  default     = true
}
