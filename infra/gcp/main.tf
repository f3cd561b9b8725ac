# Every responder that runs on Google Cloud, each as one Cloud Run service with one service account and one custom role.
#
# infra/responders/NAME.json is generated from the responder's own declaration (`Responder::NEEDS`): a new responder is
# one more file there, and nothing here changes.

terraform {
  required_version = ">= 1.6"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0"
    }
  }
}

locals {
  known = {
    for file in fileset("${path.module}/../responders", "*.json") :
    trimsuffix(file, ".json") => jsondecode(file("${path.module}/../responders/${file}"))
  }
  deployed = {
    for name, responder in local.known : name => responder
    if responder.wing != "aws" && (var.responders == null ? responder.wing == "gcp" : contains(coalesce(var.responders, []), name))
  }
  wired = {
    for name, responder in local.deployed : name => responder
    if responder.trigger == "event" || contains(var.auto, name)
  }
  # One for each responder that an audit event names; who is not deployed is named below.
  audit = merge([
    for key, event in var.audit_events : {
      for responder in event.responders : "${key}-${responder}" => merge(event, { responder = responder })
      if contains(keys(local.deployed), responder)
    }
  ]...)
  # Named, and not there.
  unknown = setsubtract(
    setunion(coalesce(var.responders, []), var.auto, flatten([for event in values(var.audit_events) : tolist(event.responders)])),
    keys(local.deployed),
  )
  cloud   = { for name, responder in local.deployed : name => responder if responder.wing == "gcp" }
  undo    = distinct(flatten([for responder in values(local.cloud) : responder.permissions.undo]))
  targets = toset(concat([var.project], tolist(var.projects)))
  guard = merge(
    { projects = sort(tolist(local.targets)), auto = sort(tolist(var.auto)) },
    length(var.clusters) == 0 ? {} : { clusters = var.clusters },
    var.guard,
  )
  # gke:PROJECT/LOCATION/NAME
  cluster_projects = toset([for cluster in var.clusters : split("/", trimprefix(cluster, "gke:"))[0]])
  in_clusters      = { for name, responder in local.deployed : name => responder if responder.wing == "k8s" }
  image = {
    for name in keys(local.deployed) : name =>
    contains(keys(var.image_digests), name) ? "${var.images}/${name}@${var.image_digests[name]}" : "${var.images}/${name}:${var.image_tag}"
  }
  # What a token for a responder must be made for.
  audience = { for name in keys(local.deployed) : name => "https://${var.name}-${name}.stanch.internal" }
  environment = {
    for name, responder in local.deployed : name => merge(
      {
        STANCH_MODE   = var.mode
        STANCH_LEDGER = "firestore:${var.project}/${google_firestore_database.ledger.name}/records"
        STANCH_GUARD  = jsonencode(local.guard)
      },
      responder.wing != "k8s" || length(var.clusters) == 0 ? {} : { STANCH_CLUSTER = var.clusters[0] },
    )
  }
  apis = concat(
    ["run", "pubsub", "firestore", "compute", "iam", "logging", "monitoring", "cloudresourcemanager", "cloudscheduler"],
    length(var.clusters) == 0 ? [] : ["container"],
    length(var.audit_events) == 0 ? [] : ["eventarc"],
    var.organization == null ? [] : ["securitycenter"],
  )
}

resource "terraform_data" "input" {
  lifecycle {
    precondition {
      condition     = length(local.unknown) == 0
      error_message = "These are not deployed here: ${join(", ", local.unknown)}."
    }
  }
}

data "google_project" "here" {
  project_id = var.project
}

resource "google_project_service" "api" {
  for_each = toset(local.apis)

  project            = var.project
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

# ── The ledger ──────────────────────────────────────────────────────────────────────────────────────────────────────

resource "google_firestore_database" "ledger" {
  project                           = var.project
  name                              = "${var.name}-ledger"
  location_id                       = var.ledger_location
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "OPTIMISTIC"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = var.protect_ledger ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = var.protect_ledger ? "ABANDON" : "DELETE"
  dynamic "cmek_config" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_project_iam_custom_role" "ledger" {
  project     = var.project
  role_id     = "${replace(var.name, "-", "_")}_ledger"
  title       = "${var.name} ledger"
  permissions = ["datastore.databases.get", "datastore.entities.create", "datastore.entities.get", "datastore.entities.update"]
}

# ── Identities ──────────────────────────────────────────────────────────────────────────────────────────────────────

resource "google_service_account" "act" {
  for_each = local.deployed

  project = var.project
  # At most 30 characters: a long name is cut and told apart by its digest.
  account_id   = length("${var.name}-${each.key}") <= 30 ? "${var.name}-${each.key}" : "${substr("${var.name}-${each.key}", 0, 23)}-${substr(sha256(each.key), 0, 6)}"
  display_name = "${each.key}: plan and apply"
}

resource "google_project_iam_member" "ledger" {
  for_each = local.deployed

  project = var.project
  role    = google_project_iam_custom_role.ledger.id
  member  = google_service_account.act[each.key].member
  condition {
    title      = "the ledger alone"
    expression = "resource.name == \"projects/${var.project}/databases/${google_firestore_database.ledger.name}\""
  }
}

# A custom role belongs to a project: each project that is acted in has its own.
resource "google_project_iam_custom_role" "act" {
  for_each = {
    for pair in setproduct(keys(local.cloud), local.targets) : "${pair[0]}/${pair[1]}" => { responder = pair[0], project = pair[1] }
  }

  project     = each.value.project
  role_id     = replace("${var.name}_${each.value.responder}", "-", "_")
  title       = "${each.value.responder}: plan and apply"
  permissions = local.cloud[each.value.responder].permissions.act
}

resource "google_project_iam_member" "act" {
  for_each = google_project_iam_custom_role.act

  project = each.value.project
  role    = each.value.id
  member  = google_service_account.act[split("/", each.key)[0]].member
}

# The way to a cluster. What may be done there, RBAC says: infra/k8s/base, bound to the account (docs/deploy.md).
resource "google_project_iam_custom_role" "cluster" {
  for_each = length(local.in_clusters) == 0 ? toset([]) : local.cluster_projects

  project     = each.key
  role_id     = replace("${var.name}_cluster", "-", "_")
  title       = "${var.name}: into the cluster"
  permissions = ["container.clusters.connect", "container.clusters.get"]
}

resource "google_project_iam_member" "cluster" {
  for_each = {
    for pair in setproduct(keys(local.in_clusters), keys(google_project_iam_custom_role.cluster)) : "${pair[0]}/${pair[1]}" => { responder = pair[0], project = pair[1] }
  }

  project = each.value.project
  role    = google_project_iam_custom_role.cluster[each.value.project].id
  member  = google_service_account.act[each.value.responder].member
}

# Undo is for people and playbooks alone.
resource "google_project_iam_custom_role" "undo" {
  for_each = length(var.undo_members) == 0 || length(local.undo) == 0 ? toset([]) : local.targets

  project     = each.key
  role_id     = replace("${var.name}_undo", "-", "_")
  title       = "${var.name}: revert"
  permissions = local.undo
}

resource "google_project_iam_member" "undo" {
  for_each = {
    for pair in setproduct(keys(google_project_iam_custom_role.undo), var.undo_members) : "${pair[0]}/${pair[1]}" => { project = pair[0], member = pair[1] }
  }

  project = each.value.project
  role    = google_project_iam_custom_role.undo[each.value.project].id
  member  = each.value.member
}

# Undo reads and writes the ledger, and what it undoes may be in a cluster.
resource "google_project_iam_member" "undo_ledger" {
  for_each = toset(var.undo_members)

  project = var.project
  role    = google_project_iam_custom_role.ledger.id
  member  = each.key
  condition {
    title      = "the ledger alone"
    expression = "resource.name == \"projects/${var.project}/databases/${google_firestore_database.ledger.name}\""
  }
}

resource "google_project_iam_member" "undo_cluster" {
  for_each = {
    for pair in setproduct(keys(google_project_iam_custom_role.cluster), var.undo_members) : "${pair[0]}/${pair[1]}" => { project = pair[0], member = pair[1] }
  }

  project = each.value.project
  role    = google_project_iam_custom_role.cluster[each.value.project].id
  member  = each.value.member
}

# ── The services ────────────────────────────────────────────────────────────────────────────────────────────────────

resource "google_cloud_run_v2_service" "responder" {
  for_each = local.deployed

  project     = var.project
  name        = "${var.name}-${each.key}"
  location    = var.region
  description = each.value.about
  ingress     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  # Cloud Run itself lets no token in that is for another audience.
  custom_audiences    = [local.audience[each.key]]
  deletion_protection = false

  template {
    service_account                  = google_service_account.act[each.key].email
    timeout                          = "300s"
    max_instance_request_concurrency = 10
    scaling {
      min_instance_count = var.min_instances
      max_instance_count = 5
    }
    containers {
      image = local.image[each.key]
      resources {
        limits            = { cpu = "1", memory = "256Mi" }
        startup_cpu_boost = true
      }
      dynamic "env" {
        for_each = merge(local.environment[each.key], {
          STANCH_TIMEOUT     = "290"
          STANCH_DEAD_LETTER = google_pubsub_topic.dead.id
          STANCH_CALLERS = jsonencode({
            oidc = concat(
              [{
                audience = local.audience[each.key]
                events   = [google_service_account.push.email]
                orders   = var.order_identities
              }],
              # Eventarc's tokens are for the service's own address, which is not known before the service is there.
              length(var.audit_events) == 0 || !contains(keys(var.service_urls), each.key) ? [] : [{
                audience = var.service_urls[each.key]
                events   = [google_service_account.push.email]
                orders   = []
              }],
            )
          })
        })
        content {
          name  = env.key
          value = env.value
        }
      }
      startup_probe {
        http_get {
          path = "/healthz"
        }
        period_seconds = 1
      }
    }
  }
  depends_on = [google_project_service.api]
}

# Cloud Run lets the pusher in; the responder then proves the token itself.
resource "google_cloud_run_v2_service_iam_member" "push" {
  for_each = setunion(keys(local.wired), [for event in values(local.audit) : event.responder])

  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.responder[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.push.member
}

resource "google_cloud_run_v2_service_iam_member" "orders" {
  for_each = {
    for pair in setproduct(keys(local.deployed), var.order_identities) : "${pair[0]}/${pair[1]}" => { responder = pair[0], email = pair[1] }
  }

  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.responder[each.value.responder].name
  role     = "roles/run.invoker"
  member   = endswith(each.value.email, ".gserviceaccount.com") ? "serviceAccount:${each.value.email}" : "user:${each.value.email}"
}
