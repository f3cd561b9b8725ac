# A member account of an organization: the role that the hub's functions assume here, and the rule that forwards this
# account's findings to the hub's bus.

terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.60"
    }
  }
}

variable "name" {
  description = "The hub's prefix."
  type        = string
  default     = "stanch"
}

variable "hub_roles" {
  description = "The hub's output `roles`: who may act here, by responder."
  type        = map(string)
}

variable "external_id" {
  description = "The hub's external_id."
  type        = string
  sensitive   = true
}

variable "forward" {
  description = "Whether this account's findings are put on the hub's bus; false where a delegated administrator receives them."
  type        = bool
  default     = false
}

variable "event_bus" {
  description = "The hub's output `event_bus`. Needed with forward."
  type        = string
  default     = null
}

variable "permissions_boundary" {
  description = "ARN of a boundary for the roles that are made."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}

locals {
  known = {
    for file in fileset("${path.module}/../../responders", "aws-*.json") :
    trimsuffix(file, ".json") => jsondecode(file("${path.module}/../../responders/${file}"))
  }
  here = { for name, arn in var.hub_roles : name => local.known[name] if contains(keys(local.known), name) }
}

data "aws_iam_policy_document" "hub" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [for name in keys(local.here) : var.hub_roles[name]]
    }
    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [var.external_id]
    }
  }
}

resource "aws_iam_role" "member" {
  name                 = "${var.name}-member"
  description          = "What the hub's responders may do here. Each of them narrows it to its own actions and target by a session policy."
  assume_role_policy   = data.aws_iam_policy_document.hub.json
  max_session_duration = 3600
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}

resource "aws_iam_policy" "act" {
  for_each = local.here

  name        = "${var.name}-member-${each.key}"
  description = "Plan and apply of ${each.key}"
  policy      = jsonencode(each.value.policies.act)
  tags        = var.tags
}

resource "aws_iam_role_policy_attachment" "act" {
  for_each = local.here

  role       = aws_iam_role.member.name
  policy_arn = aws_iam_policy.act[each.key].arn
}

resource "aws_cloudwatch_event_rule" "forward" {
  count = var.forward ? 1 : 0

  name          = "${var.name}-forward"
  description   = "Findings, to the hub"
  event_pattern = jsonencode({ source = ["aws.guardduty", "aws.securityhub"] })
  tags          = var.tags
}

data "aws_iam_policy_document" "events" {
  count = var.forward ? 1 : 0

  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "forward" {
  count = var.forward ? 1 : 0

  statement {
    actions   = ["events:PutEvents"]
    resources = [var.event_bus]
  }
}

resource "aws_iam_role" "forward" {
  count = var.forward ? 1 : 0

  name                 = "${var.name}-forward"
  assume_role_policy   = data.aws_iam_policy_document.events[0].json
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}

resource "aws_iam_role_policy" "forward" {
  count = var.forward ? 1 : 0

  name   = "forward"
  role   = aws_iam_role.forward[0].name
  policy = data.aws_iam_policy_document.forward[0].json
}

resource "aws_cloudwatch_event_target" "forward" {
  count = var.forward ? 1 : 0

  rule      = aws_cloudwatch_event_rule.forward[0].name
  target_id = "hub"
  arn       = var.event_bus
  role_arn  = aws_iam_role.forward[0].arn
}

output "role" {
  description = "The role that the hub assumes."
  value       = aws_iam_role.member.arn
}
