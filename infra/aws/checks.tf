# Each function is asked regularly whether it could act, in every account and cluster of its guard, and says so in its log.
# An alarm is raised unless a check has come out green: by red as by a check that never ran.

locals {
  # A Kubernetes responder without a cluster has nowhere to act.
  checked = { for name, responder in local.deployed : name => responder if responder.wing != "k8s" || length(var.clusters) > 0 }
}

resource "aws_scheduler_schedule_group" "checks" {
  name = "${var.name}-checks"
  tags = var.tags
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "checks" {
  name                 = "${var.name}-checks"
  description          = "Asks the functions whether they could act."
  assume_role_policy   = data.aws_iam_policy_document.scheduler.json
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}

data "aws_iam_policy_document" "checks" {
  statement {
    sid       = "Ask"
    actions   = ["lambda:InvokeFunction"]
    resources = [for name in keys(local.deployed) : aws_lambda_function.responder[name].arn]
  }
}

resource "aws_iam_role_policy" "checks" {
  name   = "ask"
  role   = aws_iam_role.checks.name
  policy = data.aws_iam_policy_document.checks.json
}

resource "aws_scheduler_schedule" "check" {
  for_each = local.checked

  name                = "${var.name}-${each.key}"
  description         = "Could ${each.key} act today?"
  group_name          = aws_scheduler_schedule_group.checks.name
  schedule_expression = "rate(${var.check_hours} ${var.check_hours == 1 ? "hour" : "hours"})"
  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 15
  }
  target {
    arn      = aws_lambda_function.responder[each.key].arn
    role_arn = aws_iam_role.checks.arn
    input    = jsonencode({ mode = "check" })
  }
}

# 1 or 0 for each account and cluster.
resource "aws_cloudwatch_log_metric_filter" "green" {
  for_each = local.deployed

  name           = "${var.name}-${each.key}-green"
  log_group_name = aws_cloudwatch_log_group.responder[each.key].name
  pattern        = "{ $.green = 0 || $.green = 1 }"
  metric_transformation {
    namespace  = "Stanch"
    name       = "${var.name}-${each.key}-green"
    value      = "$.green"
    dimensions = { scope = "$.scope" }
  }
}

resource "aws_cloudwatch_log_metric_filter" "all_green" {
  for_each = local.deployed

  name           = "${var.name}-${each.key}-all-green"
  log_group_name = aws_cloudwatch_log_group.responder[each.key].name
  pattern        = "{ $.all_green = 1 }"
  metric_transformation {
    namespace = "Stanch"
    name      = "${var.name}-${each.key}-all-green"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "all_green" {
  for_each = local.checked

  alarm_name          = "${var.name}-${each.key}-all-green"
  alarm_description   = "${each.key} has not shown that it could act: its checks are red, or do not run"
  namespace           = "Stanch"
  metric_name         = aws_cloudwatch_log_metric_filter.all_green[each.key].metric_transformation[0].name
  statistic           = "Sum"
  period              = 3600 * var.check_hours
  evaluation_periods  = 2
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  tags                = var.tags
}
