output "functions" {
  description = "The functions, by responder."
  value       = { for name, function in aws_lambda_function.responder : name => function.arn }
}

output "roles" {
  description = "The roles of the functions, by responder: what infra/aws/member trusts, and what a policy simulator can be asked about."
  value       = { for name, role in aws_iam_role.act : name => role.arn }
}

output "undo_role" {
  description = "The role that reverts, if anybody may."
  value       = one(aws_iam_role.undo[*].arn)
}

output "ledger" {
  description = "STANCH_LEDGER for a person's terminal."
  value       = "dynamodb:${aws_dynamodb_table.ledger.name}"
}

output "dead_letters" {
  description = "The dead-letter queues, by responder."
  value       = { for name, queue in aws_sqs_queue.dead : name => queue.url }
}

output "alarms" {
  description = "The topic of all alarms."
  value       = aws_sns_topic.alarms.arn
}

output "event_bus" {
  description = "The bus that member accounts forward their findings to."
  value       = one(aws_cloudwatch_event_bus.hub[*].arn)
}
