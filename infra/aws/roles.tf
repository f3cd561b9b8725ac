# One role a function: plan and apply. One role for undo, which only people and playbooks assume.

data "aws_iam_policy_document" "lambda" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "act" {
  for_each = local.deployed

  name                 = "${var.name}-${each.key}"
  description          = "Plan and apply of ${each.key}. It cannot undo."
  assume_role_policy   = data.aws_iam_policy_document.lambda.json
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}

# What the responder itself declares.
resource "aws_iam_role_policy" "act" {
  for_each = { for name, responder in local.deployed : name => responder if responder.wing == "aws" }

  name   = "act"
  role   = aws_iam_role.act[each.key].name
  policy = jsonencode(each.value.policies.act)
}

# What every function needs around it.
data "aws_iam_policy_document" "host" {
  for_each = local.deployed

  source_policy_documents = [data.aws_iam_policy_document.ledger.json]
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.responder[each.key].arn}:*"]
  }
  dynamic "statement" {
    for_each = contains(keys(local.wired), each.key) ? [aws_sqs_queue.responder[each.key].arn] : []
    content {
      sid       = "Queue"
      actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
      resources = [statement.value]
    }
  }
  dynamic "statement" {
    for_each = each.value.wing == "k8s" && length(var.clusters) > 0 ? [var.clusters] : []
    content {
      sid       = "Clusters"
      actions   = ["eks:DescribeCluster"]
      resources = [for name in statement.value : "arn:${local.partition}:eks:${local.region}:${local.account}:cluster/${name}"]
    }
  }
  dynamic "statement" {
    for_each = each.value.wing == "aws" && length(var.members) > 0 ? [var.members] : []
    content {
      sid       = "Members"
      actions   = ["sts:AssumeRole"]
      resources = [for account in statement.value : "arn:${local.partition}:iam::${account}:role/${var.name}-member"]
    }
  }
}

resource "aws_iam_role_policy" "host" {
  for_each = local.deployed

  name   = "host"
  role   = aws_iam_role.act[each.key].name
  policy = data.aws_iam_policy_document.host[each.key].json
}

# ── Undo ────────────────────────────────────────────────────────────────────────────────────────────────────────────

data "aws_iam_policy_document" "people" {
  count = length(var.undo_principals) == 0 ? 0 : 1

  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = var.undo_principals
    }
  }
}

resource "aws_iam_role" "undo" {
  count = length(var.undo_principals) == 0 ? 0 : 1

  name                 = "${var.name}-undo"
  description          = "Reverts what responders did. For people and playbooks."
  assume_role_policy   = data.aws_iam_policy_document.people[0].json
  max_session_duration = 3600
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}

resource "aws_iam_policy" "undo" {
  for_each = {
    for name, responder in local.deployed : name => responder
    if responder.wing == "aws" && length(var.undo_principals) > 0 && length(try(responder.policies.undo.Statement, [])) > 0
  }

  name        = "${var.name}-undo-${each.key}"
  description = "Plan and revert of ${each.key}"
  policy      = jsonencode(each.value.policies.undo)
  tags        = var.tags
}

resource "aws_iam_role_policy_attachment" "undo" {
  for_each = aws_iam_policy.undo

  role       = aws_iam_role.undo[0].name
  policy_arn = each.value.arn
}

resource "aws_iam_role_policy" "undo_ledger" {
  count = length(var.undo_principals) == 0 ? 0 : 1

  name   = "ledger"
  role   = aws_iam_role.undo[0].name
  policy = data.aws_iam_policy_document.ledger.json
}

# ── Clusters ────────────────────────────────────────────────────────────────────────────────────────────────────────

# Each function is a member of its own group; infra/k8s binds the group to the responder's ClusterRole.
resource "aws_eks_access_entry" "act" {
  for_each = {
    for pair in setproduct(keys(local.kubernetes), var.clusters) : "${pair[0]}/${pair[1]}" => { responder = pair[0], cluster = pair[1] }
  }

  cluster_name      = each.value.cluster
  principal_arn     = aws_iam_role.act[each.value.responder].arn
  kubernetes_groups = ["stanch:${each.value.responder}"]
  tags              = var.tags
}

resource "aws_eks_access_entry" "undo" {
  for_each = length(var.undo_principals) == 0 ? toset([]) : toset(var.clusters)

  cluster_name      = each.value
  principal_arn     = aws_iam_role.undo[0].arn
  kubernetes_groups = ["stanch:undo"]
  tags              = var.tags
}
