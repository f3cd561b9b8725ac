output "services" {
  description = "URLs of the services, by responder: where a person or a playbook posts orders."
  value       = { for name, service in google_cloud_run_v2_service.responder : name => service.uri }
}

output "service_accounts" {
  description = "Who each responder is. The Kubernetes ones need their account bound to the group's ClusterRole (infra/k8s/base)."
  value       = { for name, account in google_service_account.act : name => account.email }
}

output "topic" {
  description = "Where other sources publish: Eventarc, Cloud Monitoring channels, falcosidekick."
  value       = google_pubsub_topic.alerts.id
}

output "ledger" {
  description = "STANCH_LEDGER for a person's terminal."
  value       = "firestore:${var.project}/${google_firestore_database.ledger.name}/records"
}
