"""What is attached to the roles that Terraform made, by boto3, against what each must have."""

import boto3

ACCOUNT, REGION, CLUSTER, MEMBER = "123456789012", "eu-central-1", "prod", "210987654321"
LEDGER = ["dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:PutItem"]
# Lambda's own use of a function's role: to write its log, and to empty its queue.
LOGS = ["logs:CreateLogStream", "logs:PutLogEvents"]
QUEUE = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]


def client(name, **more):
    return boto3.client(name, region_name=REGION, **more)


def inline(role):
    iam = client("iam")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}


def attached(role):
    iam, found = client("iam"), {}
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        for it in page["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=it["PolicyArn"])["Policy"]["DefaultVersionId"]
            found[it["PolicyName"]] = iam.get_policy_version(
                PolicyArn=it["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
    return found


def listed(value):
    return value if isinstance(value, list) else [value]


def actions(*documents):
    """Every action of policies that do nothing but allow."""
    statements = [statement for document in documents for statement in listed(document["Statement"])]
    assert all(statement["Effect"] == "Allow" and "NotAction" not in statement for statement in statements), statements
    return sorted({action for statement in statements for action in listed(statement["Action"])})


def around(name, it, wired):
    """What a function's role has beside what its responder declares: action by resource."""
    def arn(service, what):
        return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{what}"
    want = {action: arn("dynamodb", "table/stanch-ledger") for action in LEDGER}
    want |= {action: arn("logs", f"log-group:/aws/lambda/stanch-{name}:*") for action in LOGS}
    if wired:
        want |= {action: arn("sqs", f"stanch-{name}") for action in QUEUE}
    if it["wing"] == "aws":
        want["sts:AssumeRole"] = f"arn:aws:iam::{MEMBER}:role/stanch-member"
    else:
        want["eks:DescribeCluster"] = arn("eks", f"cluster/{CLUSTER}")
    return want


def look(known, wired, same):
    """Each role has what its responder declares and what is around it, on what it must be, and nothing else."""
    undo, expected = attached("stanch-undo"), {}
    for name, it in known.items():
        role = f"stanch-{name}"
        found = inline(role)
        same(f"{role} has also", attached(role), {})
        same(f"{role} has", sorted(found), ["act", "host"] if it["wing"] == "aws" else ["host"])
        host = [(action, statement.get("Condition"), *listed(statement["Resource"]))
                for statement in found["host"]["Statement"] for action in listed(statement["Action"])]
        same(f"what is around {name}", sorted(host), sorted(
            (action, None, arn) for action, arn in around(name, it, name in wired).items()))
        if it["wing"] == "aws":
            same(f"{name}'s own", found["act"], it["policies"]["act"])
            if it["policies"]["undo"]["Statement"]:
                expected[f"stanch-undo-{name}"] = it["policies"]["undo"]
    same("what undo may", undo, expected)
    same("what a member lets them do", attached("stanch-member"), {
        f"stanch-member-{name}": it["policies"]["act"] for name, it in known.items() if it["wing"] == "aws"})
    same("what undo may beside", {name: actions(it) for name, it in inline("stanch-undo").items()}, {"ledger": LEDGER})
