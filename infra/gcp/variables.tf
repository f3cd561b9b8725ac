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

variable "images" {
  description = "Where the images are, e.g. europe-docker.pkg.dev/acme-sec/stanch."
  type        = string
}

variable "image_tag" {
  description = "Tag of the images that have no digest."
  type        = string
  default     = "latest"
}

variable "image_digests" {
  description = "sha256:… of the images, by responder: what is deployed is then what was built."
  type        = map(string)
  default     = {}
}

variable "clusters" {
  description = "GKE clusters that the Kubernetes responders act in, as gke:PROJECT/LOCATION/NAME. The first is the cluster of alerts that name none."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for cluster in var.clusters : can(regex("^gke:[^/]+/[^/]+/[^/]+$", cluster))])
    error_message = "clusters must be gke:PROJECT/LOCATION/NAME."
  }
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

variable "min_instances" {
  description = "Services kept warm. 0 costs nothing while nothing happens; a cold start takes milliseconds of ours and about a second of the platform's."
  type        = number
  default     = 0
}

variable "audit_events" {
  description = "Audit log events that Eventarc brings: service, method, location of the trigger, and the responders that hear of it."
  type = map(object({
    service    = string
    method     = string
    location   = optional(string, "global")
    responders = set(string)
  }))
  default = {}
}

variable "service_urls" {
  description = "The output `services` of the first apply. Needed with audit_events: Eventarc's tokens are made for these."
  type        = map(string)
  default     = {}
}

variable "kms_key" {
  description = "Key for the topics and the ledger: projects/…/cryptoKeys/…. Null: Google's own."
  type        = string
  default     = null
}

variable "check_hours" {
  description = "How often each responder is asked whether it could act."
  type        = number
  default     = 1
  validation {
    condition     = contains([1, 2, 3, 4, 6, 8, 12, 24], var.check_hours)
    error_message = "check_hours must divide a day."
  }
}
