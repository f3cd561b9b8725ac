# A responder that fails, or an alert that nobody could handle, is itself an incident.

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
  tags              = var.tags
}

resource "aws_sns_topic_subscription" "alarms" {
  count = var.alert_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alert_email
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = local.deployed

  alarm_name          = "${var.name}-${each.key}-errors"
  alarm_description   = "${each.key} failed; its log says why"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.responder[each.key].function_name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "dead" {
  for_each = local.wired

  alarm_name          = "${var.name}-${each.key}-dead"
  alarm_description   = "${each.key} could not handle an alert within 20 tries; it waits in the dead-letter queue"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead[each.key].name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  tags                = var.tags
}

# Failures that do not fail the invocation (a partial containment, an exempt target accused) are logged as errors.
resource "aws_cloudwatch_log_metric_filter" "logged" {
  for_each = local.deployed

  name           = "${var.name}-${each.key}-logged"
  log_group_name = aws_cloudwatch_log_group.responder[each.key].name
  pattern        = "{ $.level = \"ERROR\" }"
  metric_transformation {
    namespace = "Stanch"
    name      = "${var.name}-${each.key}-logged"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "logged" {
  for_each = local.deployed

  alarm_name          = "${var.name}-${each.key}-logged"
  alarm_description   = "${each.key} logged an error: somebody must look"
  namespace           = "Stanch"
  metric_name         = aws_cloudwatch_log_metric_filter.logged[each.key].metric_transformation[0].name
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  tags                = var.tags
}
