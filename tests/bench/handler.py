"""The responder aws-snapshot-volumes as a team would write it in Python: same event, same calls, same ledger idea."""

import datetime
import hashlib
import os

import boto3
from botocore.config import Config

SETTINGS = Config(retries={"max_attempts": 0}, connect_timeout=3, read_timeout=10)
ec2 = boto3.client("ec2", config=SETTINGS)
ledger = boto3.client("dynamodb", config=SETTINGS)
TABLE = os.environ["LEDGER_TABLE"]


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
    found = ledger.get_item(TableName=TABLE, Key={"key": {"S": key}}, ConsistentRead=True).get("Item")
    mine = [{"Name": "tag:stanch:record", "Values": [record]}]
    if found:
        taken = ec2.describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]
        if {s["VolumeId"] for s in taken} >= volumes:
            return {"status": "already", "record": record}

    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    version = int(found["version"]["N"]) if found else 0
    item = {"key": {"S": key}, "version": {"N": str(version + 1)}, "body": {"S": f'{{"begun":"{now}"}}'}}
    condition = {"ConditionExpression": "attribute_not_exists(#k)", "ExpressionAttributeNames": {"#k": "key"}}
    if found:
        condition = {
            "ConditionExpression": "version = :v",
            "ExpressionAttributeValues": {":v": {"N": str(version)}},
        }
    ledger.put_item(TableName=TABLE, Item=item, **condition)
    tags = [{"Key": "stanch:incident", "Value": incident}, {"Key": "stanch:record", "Value": record}]
    ec2.create_snapshots(
        InstanceSpecification={"InstanceId": instance_id},
        CopyTagsFromSource="volume",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
    )
    taken = ec2.describe_snapshots(OwnerIds=["self"], Filters=mine)["Snapshots"]
    item["version"] = {"N": str(version + 2)}
    item["body"] = {"S": f'{{"done":"{now}","snapshots":{len(taken)}}}'}
    ledger.put_item(
        TableName=TABLE,
        Item=item,
        ConditionExpression="version = :v",
        ExpressionAttributeValues={":v": {"N": str(version + 1)}},
    )
    return {"status": "applied", "record": record, "snapshots": [s["SnapshotId"] for s in taken]}
