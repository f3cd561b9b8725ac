# Every responder that runs on AWS, each as one function with one role that has what it needs and no more.
#
# infra/responders/NAME.json is generated from the responder's own declaration (`Responder::NEEDS`): a new responder is
# one more file there, and nothing here changes.

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}
data "aws_region" "here" {}

locals {
  account   = data.aws_caller_identity.here.account_id
  partition = data.aws_partition.here.partition
  region    = data.aws_region.here.name

  known = {
    for file in fileset("${path.module}/../responders", "*.json") :
    trimsuffix(file, ".json") => jsondecode(file("${path.module}/../responders/${file}"))
  }
  deployed = {
    for name, responder in local.known : name => responder
    if responder.wing != "gcp" && (var.responders == null ? true : contains(coalesce(var.responders, []), name))
  }
  # What an event may set off.
  wired = {
    for name, responder in local.deployed : name => responder
    if responder.trigger == "event" || contains(var.auto, name)
  }
  kubernetes = { for name, responder in local.deployed : name => responder if responder.wing == "k8s" }
  unknown    = setsubtract(setunion(coalesce(var.responders, []), var.auto), keys(local.known))

  guard = merge(
    { accounts = concat([local.account], tolist(var.members)), auto = tolist(var.auto) },
    length(var.clusters) == 0 ? {} : { clusters = [for name in var.clusters : "eks:${local.account}/${local.region}/${name}"] },
    var.guard,
  )
  environment = merge(
    {
      STANCH_MODE   = var.mode
      STANCH_LEDGER = "dynamodb:${aws_dynamodb_table.ledger.name}"
      STANCH_GUARD  = jsonencode(local.guard)
    },
    length(var.members) == 0 ? {} : {
      STANCH_AWS_ROLE        = "arn:${local.partition}:iam::{account}:role/${var.name}-member"
      STANCH_AWS_EXTERNAL_ID = var.external_id
    },
  )
}

resource "terraform_data" "input" {
  lifecycle {
    precondition {
      condition     = length(local.unknown) == 0
      error_message = "There is no such responder: ${join(", ", local.unknown)}."
    }
    precondition {
      condition     = length(var.members) == 0 || var.external_id != null
      error_message = "members needs external_id: without it anybody who may call the hub's functions could use the members' roles through them."
    }
  }
}

# ── The ledger ──────────────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_dynamodb_table" "ledger" {
  name                        = "${var.name}-ledger"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "key"
  deletion_protection_enabled = var.protect_ledger
  tags                        = var.tags

  attribute {
    name = "key"
    type = "S"
  }
  point_in_time_recovery {
    enabled = true
  }
  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }
}

data "aws_iam_policy_document" "ledger" {
  statement {
    sid       = "Ledger"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"]
    resources = [aws_dynamodb_table.ledger.arn]
  }
  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]
    content {
      sid       = "Key"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}

# ── The functions ───────────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_lambda_function" "responder" {
  for_each = local.deployed

  function_name                  = "${var.name}-${each.key}"
  description                    = each.value.about
  role                           = aws_iam_role.act[each.key].arn
  filename                       = "${var.packages}/${each.key}.zip"
  source_code_hash               = filebase64sha256("${var.packages}/${each.key}.zip")
  handler                        = "bootstrap"
  runtime                        = "provided.al2023"
  architectures                  = [var.architecture]
  memory_size                    = 256
  timeout                        = var.timeout
  reserved_concurrent_executions = var.reserved_concurrency
  tags                           = var.tags

  environment {
    variables = merge(
      local.environment,
      each.value.wing != "k8s" || length(var.clusters) == 0 ? {} : {
        STANCH_CLUSTER = "eks:${local.account}/${local.region}/${var.clusters[0]}"
      },
    )
  }
  tracing_config {
    mode = "PassThrough"
  }
  # Else Lambda makes the group itself, without retention.
  depends_on = [aws_cloudwatch_log_group.responder]
}

resource "aws_cloudwatch_log_group" "responder" {
  for_each = local.deployed

  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

# ── From the detectors ──────────────────────────────────────────────────────────────────────────────────────────────

resource "aws_cloudwatch_event_bus" "hub" {
  count = var.organization_id == null ? 0 : 1

  name = var.name
  tags = var.tags
}

data "aws_iam_policy_document" "hub" {
  count = var.organization_id == null ? 0 : 1

  statement {
    sid       = "Organization"
    actions   = ["events:PutEvents"]
    resources = [aws_cloudwatch_event_bus.hub[0].arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalOrgID"
      values   = [var.organization_id]
    }
  }
}

resource "aws_cloudwatch_event_bus_policy" "hub" {
  count = var.organization_id == null ? 0 : 1

  event_bus_name = aws_cloudwatch_event_bus.hub[0].name
  policy         = data.aws_iam_policy_document.hub[0].json
}

resource "aws_cloudwatch_event_rule" "responder" {
  for_each = local.wired

  name           = "${var.name}-${each.key}"
  description    = "Findings that ${each.key} can act on"
  event_bus_name = var.organization_id == null ? "default" : aws_cloudwatch_event_bus.hub[0].name
  event_pattern  = jsonencode(each.value.events)
  tags           = var.tags
}

resource "aws_cloudwatch_event_target" "responder" {
  for_each = local.wired

  rule           = aws_cloudwatch_event_rule.responder[each.key].name
  event_bus_name = aws_cloudwatch_event_rule.responder[each.key].event_bus_name
  target_id      = "queue"
  arn            = aws_sqs_queue.responder[each.key].arn
  dead_letter_config {
    arn = aws_sqs_queue.dead[each.key].arn
  }
}

# A queue, so that a run that must be tried again is, and what never succeeds is kept.
resource "aws_sqs_queue" "responder" {
  for_each = local.wired

  name                              = "${var.name}-${each.key}"
  visibility_timeout_seconds        = max(90, 6 * var.timeout)
  message_retention_seconds         = 345600
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : 300
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  tags                              = var.tags
}

resource "aws_sqs_queue_redrive_policy" "responder" {
  for_each = local.wired

  queue_url = aws_sqs_queue.responder[each.key].url
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    maxReceiveCount     = 20
  })
}

resource "aws_sqs_queue" "dead" {
  for_each = local.wired

  name                              = "${var.name}-${each.key}-dead"
  message_retention_seconds         = 1209600
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : 300
  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  tags                              = var.tags
}

data "aws_iam_policy_document" "queue" {
  for_each = local.wired

  statement {
    sid       = "Rule"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.responder[each.key].arn, aws_sqs_queue.dead[each.key].arn]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.responder[each.key].arn]
    }
  }
}

resource "aws_sqs_queue_policy" "responder" {
  for_each = local.wired

  queue_url = aws_sqs_queue.responder[each.key].url
  policy    = data.aws_iam_policy_document.queue[each.key].json
}

resource "aws_sqs_queue_policy" "dead" {
  for_each = local.wired

  queue_url = aws_sqs_queue.dead[each.key].url
  policy    = data.aws_iam_policy_document.queue[each.key].json
}

resource "aws_lambda_event_source_mapping" "responder" {
  for_each = local.wired

  event_source_arn        = aws_sqs_queue.responder[each.key].arn
  function_name           = aws_lambda_function.responder[each.key].arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]
}
