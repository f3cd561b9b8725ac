"""`infra/aws` on moto, by Terraform and the real AWS provider: applied for every responder, planned again (nothing is to be
done), read back by boto3, run under the roles that were made (`roles.py`), destroyed, and nothing is left.

    infra.py RESPONDER      the program that is every responder, by its name

What moto is taught for this is in `tests/range/src/moto/deployed.py`.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import boto3
import policies
import roles

ROOT = pathlib.Path(__file__).resolve().parents[2]
ACCOUNT, REGION, CLUSTER = "123456789012", "eu-central-1", "prod"
PROVIDER = "registry.terraform.io/hashicorp/aws"
# One order responder that events may set off, beside the event responders.
AUTO = ["aws-isolate-instance"]


def mirror():
    """A local mirror that has the provider: where STANCH_TERRAFORM_MIRROR says, or where plugins usually are."""
    home = pathlib.Path.home()
    named = [os.environ.get(name) for name in ("STANCH_TERRAFORM_MIRROR", "TF_PLUGIN_CACHE_DIR")]
    usual = [home / ".terraform.d/plugins", home / ".local/share/terraform/plugins",
             *(pathlib.Path(at) / "terraform/plugins" for at in ("/usr/local/share", "/usr/share")),
             *sorted(pathlib.Path("/opt").glob("*"))]
    for folder in [*(pathlib.Path(name) for name in named if name), *usual]:
        if (folder / PROVIDER).is_dir():
            return folder
    return None


def skip(why):
    print(f"skipped: terraform: {why}", file=sys.stderr)
    sys.exit(0)


def responders():
    known = (json.loads(path.read_text()) for path in sorted((ROOT / "infra/responders").glob("*.json")))
    return {it["name"]: it for it in known if it["wing"] != "gcp"}


class Terraform:
    def __init__(self, folder, plugins):
        self.folder = folder
        (folder / "rc").write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{plugins}" }}\n}}\n')
        self.environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(folder / "rc"), "TF_IN_AUTOMATION": "1"}

    def run(self, *arguments, allowed=(0,)):
        done = subprocess.run(["terraform", *arguments, "-no-color"], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True)
        if done.returncode not in allowed:
            sys.exit(f"terraform {' '.join(arguments)}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
        return done


def prepare(folder, known):
    # A module beside the one that calls it, as in a clone: an absolute path would be copied without its neighbours.
    shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    (folder / "packages").mkdir()
    for name in known:
        with zipfile.ZipFile(folder / "packages" / f"{name}.zip", "w") as package:
            package.writestr(zipfile.ZipInfo("bootstrap"), f"#!/bin/sh\nexec {name}\n")
    (folder / "main.tf.json").write_text(json.dumps({
        "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
        "provider": {"aws": {"region": REGION, "access_key": "range", "secret_key": "range",
                             "skip_metadata_api_check": True}},
        "module": {
            "stanch": {
                "source": "./infra/aws", "packages": "packages", "auto": AUTO, "clusters": [CLUSTER],
                "members": ["210987654321"], "external_id": "an-external-id", "organization_id": "o-abcdefghij",
                "undo_principals": [f"arn:aws:iam::{ACCOUNT}:role/analysts"], "alert_email": "soc@example.com",
                "protect_ledger": False, "mode": "enforce",
            },
            "member": {
                "source": "./infra/aws/member", "hub_roles": "${module.stanch.roles}", "external_id": "an-external-id",
                "forward": True, "event_bus": "${module.stanch.event_bus}",
            },
        },
        "output": {"functions": {"value": "${module.stanch.functions}"}},
    }))


def pages(client, call, key, **arguments):
    return [item for page in client.get_paginator(call).paginate(**arguments) for item in page[key]]


def standing():
    """What is there, by kind: what Terraform made and nothing else, on a moto of our own."""
    client = {name: boto3.client(name) for name in
              ("lambda", "iam", "sqs", "events", "logs", "sns", "cloudwatch", "dynamodb", "scheduler", "eks")}
    events = client["events"]
    buses = [bus["Name"] for bus in events.list_event_buses()["EventBuses"]]
    return {
        "functions": [it["FunctionName"] for it in pages(client["lambda"], "list_functions", "Functions")],
        "sources": [it["UUID"] for it in client["lambda"].list_event_source_mappings()["EventSourceMappings"]],
        "roles": [it["RoleName"] for it in pages(client["iam"], "list_roles", "Roles")],
        "policies": [it["PolicyName"] for it in pages(client["iam"], "list_policies", "Policies", Scope="Local")],
        "queues": client["sqs"].list_queues().get("QueueUrls", []),
        "buses": [bus for bus in buses if bus != "default"],
        "rules": [(bus, it["Name"]) for bus in buses
                  for it in pages(events, "list_rules", "Rules", EventBusName=bus)],
        "logs": [it["logGroupName"] for it in pages(client["logs"], "describe_log_groups", "logGroups")],
        "filters": [it["filterName"] for it in pages(client["logs"], "describe_metric_filters", "metricFilters")],
        "topics": [it["TopicArn"] for it in pages(client["sns"], "list_topics", "Topics")],
        "subscriptions": [it["Endpoint"] for it in pages(client["sns"], "list_subscriptions", "Subscriptions")],
        "alarms": [it["AlarmName"] for it in pages(client["cloudwatch"], "describe_alarms", "MetricAlarms")],
        "tables": pages(client["dynamodb"], "list_tables", "TableNames"),
        "schedules": [it["Name"] for it in pages(client["scheduler"], "list_schedules", "Schedules")],
        "entries": client["eks"].list_access_entries(clusterName=CLUSTER)["accessEntries"],
    }


def same(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {json.dumps(found, indent=1, default=str)}\nwanted: {json.dumps(wanted, indent=1, default=str)}")


def look(known):
    """Each responder has what it must have, as boto3 finds it."""
    wired = [name for name, it in known.items() if it["trigger"] == "event" or name in AUTO]
    found = standing()
    name_all = sorted(f"stanch-{name}" for name in known)
    same("functions", sorted(found["functions"]), name_all)
    same("schedules", sorted(found["schedules"]), name_all)
    same("log groups", sorted(found["logs"]), [f"/aws/lambda/{name}" for name in name_all])
    same("rules", sorted(found["rules"]),
         sorted([("default", "stanch-forward"), *(("stanch", f"stanch-{name}") for name in wired)]))
    same("queues", len(found["queues"]), 2 * len(wired))
    same("alarms", sorted(found["alarms"]), sorted(
        f"stanch-{name}-{what}" for name in known for what in ("errors", "logged", "all-green", *["dead"] * (name in wired))))
    functions, events, sqs, iam = (boto3.client(name) for name in ("lambda", "events", "sqs", "iam"))
    for name in known:
        made = functions.get_function(FunctionName=f"stanch-{name}")["Configuration"]
        same(f"{name} runs as", made["Role"], f"arn:aws:iam::{ACCOUNT}:role/stanch-{name}")
        same(f"{name} runs on", (made["Runtime"], made["Handler"]), ("provided.al2023", "bootstrap"))
        variables = made["Environment"]["Variables"]
        same(f"{name}'s ledger", variables["STANCH_LEDGER"], "dynamodb:stanch-ledger")
        same(f"{name}'s guard", json.loads(variables["STANCH_GUARD"]), {
            "accounts": [ACCOUNT, "210987654321"], "auto": AUTO, "clusters": [f"eks:{ACCOUNT}/{REGION}/{CLUSTER}"]})
        check = boto3.client("scheduler").get_schedule(GroupName="stanch-checks", Name=f"stanch-{name}")
        same(f"{name}'s check", (check["Target"]["Arn"], json.loads(check["Target"]["Input"])),
             (made["FunctionArn"], {"mode": "check"}))
    for name in wired:
        rule = events.describe_rule(Name=f"stanch-{name}", EventBusName="stanch")
        same(f"{name}'s rule", json.loads(rule["EventPattern"]), known[name]["events"])
        target, = events.list_targets_by_rule(Rule=f"stanch-{name}", EventBusName="stanch")["Targets"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:stanch-{name}"
        same(f"{name}'s target", (target["Arn"], target["DeadLetterConfig"]["Arn"]), (arn, f"{arn}-dead"))
        url = sqs.get_queue_url(QueueName=f"stanch-{name}")["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        same(f"{name}'s queue", (json.loads(queue["RedrivePolicy"]), int(queue["VisibilityTimeout"])),
             ({"deadLetterTargetArn": f"{arn}-dead", "maxReceiveCount": 20}, 360))
    for name in (name for name, it in known.items() if it["wing"] == "k8s"):
        arn = f"arn:aws:iam::{ACCOUNT}:role/stanch-{name}"
        entry = boto3.client("eks").describe_access_entry(clusterName=CLUSTER, principalArn=arn)["accessEntry"]
        same(f"{name}'s groups", entry["kubernetesGroups"], [f"stanch:{name}"])
    trust = iam.get_role(RoleName="stanch-undo")["Role"]["AssumeRolePolicyDocument"]
    same("who may undo", trust["Statement"][0]["Principal"], {"AWS": f"arn:aws:iam::{ACCOUNT}:role/analysts"})
    table = boto3.client("dynamodb").describe_table(TableName="stanch-ledger")["Table"]
    same("encryption", table["SSEDescription"]["Status"], "ENABLED")
    back = boto3.client("dynamodb").describe_continuous_backups(TableName="stanch-ledger")["ContinuousBackupsDescription"]
    same("recovery", back["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"], "ENABLED")


def main():
    if shutil.which("terraform") is None:
        skip("it is not installed")
    plugins = mirror()
    if plugins is None:
        skip(f"no local mirror has {PROVIDER} (STANCH_TERRAFORM_MIRROR names one)")
    known = responders()
    boto3.client("eks").create_cluster(name=CLUSTER, roleArn=f"arn:aws:iam::{ACCOUNT}:role/cluster", resourcesVpcConfig={})
    before = standing()
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        prepare(folder, known)
        terraform = Terraform(folder, plugins)
        terraform.run("fmt", "-check", "-recursive", "infra/aws")
        terraform.run("init")
        terraform.run("validate")
        # Of the hundred writes of this most wait, for AWS to be consistent.
        terraform.run("apply", "-auto-approve", "-parallelism=100")
        plan = terraform.run("plan", "-detailed-exitcode", "-parallelism=100", allowed=(0, 2))
        if plan.returncode:
            sys.exit(f"the second plan is not empty:\n{plan.stdout[-6000:]}")
        look(known)
        policies.look(known, [name for name, it in known.items() if it["trigger"] == "event" or name in AUTO], same)
        deployed = standing()
        roles.prove(known, pathlib.Path(sys.argv[1]))
        tried = standing()
        # Nothing has changed since but what was tried.
        terraform.run("apply", "-destroy", "-auto-approve", "-refresh=false", "-parallelism=100")
    left = {kind: [it for it in found if it in deployed[kind] or it not in tried[kind]] for kind, found in standing().items()}
    same("left after destroy", left, before)
    print(f"{len(known)} responders applied, planned again and destroyed")


if __name__ == "__main__":
    main()
