resource "google_monitoring_notification_channel" "mail" {
  count = var.alert_email == null ? 0 : 1

  project      = var.project
  display_name = "${var.name} alarms"
  type         = "email"
  labels       = { email_address = var.alert_email }
}

resource "google_monitoring_alert_policy" "dead" {
  project               = var.project
  display_name          = "${var.name}: an alert could not be handled"
  combiner              = "OR"
  notification_channels = google_monitoring_notification_channel.mail[*].id

  conditions {
    display_name = "dead letters"
    condition_threshold {
      filter          = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead.name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }
}

# A partial containment, an exempt target that was accused, new activity after a revert: somebody must look.
resource "google_monitoring_alert_policy" "logged" {
  project               = var.project
  display_name          = "${var.name}: a responder logged an error"
  combiner              = "OR"
  notification_channels = google_monitoring_notification_channel.mail[*].id

  conditions {
    display_name = "errors"
    condition_matched_log {
      filter = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"^${var.name}-\" AND severity>=ERROR"
    }
  }
  alert_strategy {
    notification_rate_limit {
      period = "300s"
    }
  }
}

resource "google_monitoring_alert_policy" "red" {
  project               = var.project
  display_name          = "${var.name}: a responder could not act"
  combiner              = "OR"
  notification_channels = google_monitoring_notification_channel.mail[*].id

  conditions {
    display_name = "a check was red"
    condition_threshold {
      filter          = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=monitoring.regex.full_match(\"${var.name}-check-.*\") AND metric.type=\"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result=\"failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_SUM"
      }
    }
  }
}

# A check that no longer comes is no green one. Monitoring looks back less than a day.
resource "google_monitoring_alert_policy" "silent" {
  for_each = { for name, job in google_cloud_run_v2_job.check : name => job.name if var.check_hours <= 8 }

  project               = var.project
  display_name          = "${var.name}: ${each.key} is no longer checked"
  combiner              = "OR"
  notification_channels = google_monitoring_notification_channel.mail[*].id

  conditions {
    display_name = "no check has ended"
    condition_absent {
      filter   = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${each.value}\" AND metric.type=\"run.googleapis.com/job/completed_execution_count\""
      duration = "${var.check_hours * 7200 + 1800}s"
      aggregations {
        alignment_period   = "3600s"
        per_series_aligner = "ALIGN_SUM"
      }
    }
  }
}
