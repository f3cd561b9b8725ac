# Log entries, Security Command Center and Eventarc come through one topic; each wired responder has its own
# subscription, so that one that is slow or failing does not hold the others up.

resource "google_pubsub_topic" "alerts" {
  project                    = var.project
  name                       = "${var.name}-alerts"
  message_retention_duration = "86400s"
  kms_key_name               = var.kms_key

  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic" "dead" {
  project                    = var.project
  name                       = "${var.name}-dead"
  message_retention_duration = "1209600s"
  kms_key_name               = var.kms_key

  depends_on = [google_project_service.api]
}

# Keeps what failed for good until somebody has looked.
resource "google_pubsub_subscription" "dead" {
  project                    = var.project
  name                       = "${var.name}-dead"
  topic                      = google_pubsub_topic.dead.id
  message_retention_duration = "1209600s"
  expiration_policy {
    ttl = ""
  }
}

resource "google_service_account" "push" {
  project      = var.project
  account_id   = "${var.name}-push"
  display_name = "Pub/Sub, as it pushes to the responders"
}

resource "google_pubsub_subscription" "responder" {
  for_each = local.wired

  project                    = var.project
  name                       = "${var.name}-${each.key}"
  topic                      = google_pubsub_topic.alerts.id
  ack_deadline_seconds       = 300
  message_retention_duration = "86400s"
  expiration_policy {
    ttl = ""
  }
  push_config {
    push_endpoint = google_cloud_run_v2_service.responder[each.key].uri
    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = local.audience[each.key]
    }
  }
  retry_policy {
    minimum_backoff = "1s"
    maximum_backoff = "60s"
  }
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = 20
  }
}

# Pub/Sub itself moves what is never accepted.
resource "google_pubsub_topic_iam_member" "moves" {
  project = var.project
  topic   = google_pubsub_topic.dead.id
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:service-${data.google_project.here.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_subscription_iam_member" "moves" {
  for_each = google_pubsub_subscription.responder

  project      = var.project
  subscription = each.value.id
  role         = "roles/pubsub.subscriber"
  member       = "serviceAccount:service-${data.google_project.here.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

# A responder copies what it refuses for good.
resource "google_pubsub_topic_iam_member" "copies" {
  for_each = local.wired

  project = var.project
  topic   = google_pubsub_topic.dead.id
  role    = "roles/pubsub.publisher"
  member  = google_service_account.act[each.key].member
}

resource "google_logging_project_sink" "alerts" {
  for_each = local.targets

  project                = each.key
  name                   = "${var.name}-alerts"
  destination            = "pubsub.googleapis.com/${google_pubsub_topic.alerts.id}"
  filter                 = var.log_filter
  unique_writer_identity = true
}

resource "google_pubsub_topic_iam_member" "sinks" {
  for_each = google_logging_project_sink.alerts

  project = var.project
  topic   = google_pubsub_topic.alerts.id
  role    = "roles/pubsub.publisher"
  member  = each.value.writer_identity
}

resource "google_scc_v2_organization_notification_config" "findings" {
  count = var.organization == null ? 0 : 1

  organization = var.organization
  location     = "global"
  config_id    = "${var.name}-findings"
  description  = "Active findings that are high or critical, to Stanch"
  pubsub_topic = google_pubsub_topic.alerts.id
  streaming_config {
    filter = "state=\"ACTIVE\" AND NOT mute=\"MUTED\" AND (severity=\"HIGH\" OR severity=\"CRITICAL\")"
  }
}

resource "google_pubsub_topic_iam_member" "findings" {
  count = var.organization == null ? 0 : 1

  project = var.project
  topic   = google_pubsub_topic.alerts.id
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${google_scc_v2_organization_notification_config.findings[0].service_account}"
}

# Audit events that are to come without the log sink, each straight to the responders that it names.
resource "google_eventarc_trigger" "audit" {
  for_each = local.audit

  project  = var.project
  location = each.value.location
  # At most 63 characters: cut as in the name of a service account.
  name            = length("${var.name}-${each.key}") <= 63 ? "${var.name}-${each.key}" : "${substr("${var.name}-${each.key}", 0, 56)}-${substr(sha256(each.key), 0, 6)}"
  service_account = google_service_account.push.email
  matching_criteria {
    attribute = "type"
    value     = "google.cloud.audit.log.v1.written"
  }
  matching_criteria {
    attribute = "serviceName"
    value     = each.value.service
  }
  matching_criteria {
    attribute = "methodName"
    value     = each.value.method
  }
  destination {
    cloud_run_service {
      service = google_cloud_run_v2_service.responder[each.value.responder].name
      region  = var.region
    }
  }
}

resource "google_project_iam_member" "receives" {
  count = length(var.audit_events) == 0 ? 0 : 1

  project = var.project
  role    = "roles/eventarc.eventReceiver"
  member  = google_service_account.push.member
}
