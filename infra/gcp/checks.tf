# Whether each responder could act, today: its own program, identity and settings, run as a job by the clock. A check
# that is red ends with an error, and that is an alarm.

resource "google_service_account" "check" {
  project      = var.project
  account_id   = "${var.name}-check"
  display_name = "The schedule, as it starts the checks"
}

resource "google_cloud_run_v2_job" "check" {
  for_each = local.deployed

  project = var.project
  # At most 49 characters: cut as in the name of a service account.
  name                = length("${var.name}-check-${each.key}") <= 49 ? "${var.name}-check-${each.key}" : "${substr("${var.name}-check-${each.key}", 0, 42)}-${substr(sha256(each.key), 0, 6)}"
  location            = var.region
  deletion_protection = false

  template {
    template {
      service_account = google_service_account.act[each.key].email
      max_retries     = 1
      timeout         = "120s"
      containers {
        image = local.image[each.key]
        args  = ["check"]
        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }
        dynamic "env" {
          for_each = local.environment[each.key]
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }
  depends_on = [google_project_service.api]
}

resource "google_cloud_run_v2_job_iam_member" "check" {
  for_each = google_cloud_run_v2_job.check

  project  = var.project
  location = var.region
  name     = each.value.name
  role     = "roles/run.invoker"
  member   = google_service_account.check.member
}

resource "google_cloud_scheduler_job" "check" {
  for_each = google_cloud_run_v2_job.check

  project  = var.project
  region   = var.region
  name     = each.value.name
  schedule = var.check_hours == 24 ? "17 6 * * *" : "17 */${var.check_hours} * * *"
  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${each.value.id}:run"
    oauth_token {
      service_account_email = google_service_account.check.email
    }
  }
  depends_on = [google_project_service.api]
}
