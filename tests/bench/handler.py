"""The responder aws-snapshot-volumes as a team would write it in Python: same event, same calls, same ledger.

As in the responder, one read brings the record, the brake and the counter of targets; one transaction claims the
target, counts it, and fails if the brake was touched meanwhile."""

import datetime
import hashlib
import json
import os

import boto3
from botocore.config import Config

SETTINGS = Config(retries={"max_attempts": 0}, connect_timeout=3, read_timeout=10)
ec2 = boto3.client("ec2", config=SETTINGS)
ledger = boto3.client("dynamodb", config=SETTINGS)
TABLE = os.environ["LEDGER_TABLE"]
MOST = int(os.environ.get("LIMIT", "5"))
TEN_MINUTES = datetime.timedelta(minutes=10)


def read(keys):
    asked = {TABLE: {"Keys": [{"key": {"S": key}} for key in keys], "ConsistentRead": True}}
    items = {item["key"]["S"]: item for item in ledger.batch_get_item(RequestItems=asked)["Responses"].get(TABLE, [])}
    found = [items.get(key) for key in keys]
    return [(int(item["version"]["N"]), json.loads(item["body"]["S"])) if item else (0, None) for item in found]


def unchanged(version):
    """The condition that an item is still as it was read."""
    if not version:
        return {"ConditionExpression": "attribute_not_exists(#k)", "ExpressionAttributeNames": {"#k": "key"}}
    return {"ConditionExpression": "version = :v", "ExpressionAttributeValues": {":v": {"N": str(version)}}}


def put(key, version, body):
    item = {"key": {"S": key}, "version": {"N": str(version + 1)}, "body": {"S": json.dumps(body)}}
    return {"TableName": TABLE, "Item": item, **unchanged(version)}


def handler(event, context):
    if event.get("source") != "aws.guardduty" or event["detail"]["service"].get("archived"):
        return {"status": "refused"}
    finding = event["detail"]
    instance_id = finding["resource"]["instanceDetails"]["instanceId"]
    incident = f"guardduty-{finding['id']}"
    key = f"record aws-snapshot-volumes aws:{finding['accountId']} {instance_id}"
    record = hashlib.sha256(f"{key}\n{incident}".encode()).hexdigest()[:24]

    instance = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    volumes = {m["Ebs"]["VolumeId"] for m in instance["BlockDeviceMappings"]}
    keys = [key, "brake", f"limits aws-snapshot-volumes aws:{finding['accountId']}"]
    (version, found), (brake_version, brake), (count_version, touched) = read(keys)
    if brake and brake["on"]:
        return {"status": "refused"}
    mine = [{"Name": "tag:stanch:record", "Values": [record]}]
    if found:
        taken = ec2.describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]
        if {s["VolumeId"] for s in taken} >= volumes:
            return {"status": "already", "record": record}

    now = datetime.datetime.now(datetime.timezone.utc)
    lately = (now - TEN_MINUTES).isoformat()
    touched = [touch for touch in touched or [] if touch["at"] > lately and touch["uid"] != instance_id]
    if len(touched) >= MOST:
        return {"status": "refused"}
    touched.append({"uid": instance_id, "at": now.isoformat()})
    ledger.transact_write_items(
        TransactItems=[
            {"Put": put(key, version, {"begun": now.isoformat(), "volumes": sorted(volumes)})},
            {"Put": put(keys[2], count_version, touched)},
            {"ConditionCheck": {"TableName": TABLE, "Key": {"key": {"S": "brake"}}, **unchanged(brake_version)}},
        ]
    )
    tags = [{"Key": "stanch:incident", "Value": incident}, {"Key": "stanch:record", "Value": record}]
    ec2.create_snapshots(
        InstanceSpecification={"InstanceId": instance_id},
        CopyTagsFromSource="volume",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
    )
    taken = ec2.describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]
    if not {s["VolumeId"] for s in taken} >= volumes:
        raise RuntimeError("the snapshots were accepted and do not show")
    ids = [s["SnapshotId"] for s in taken]
    ledger.put_item(**put(key, version + 1, {"done": now.isoformat(), "snapshots": ids}))
    return {"status": "applied", "record": record, "snapshots": ids}
