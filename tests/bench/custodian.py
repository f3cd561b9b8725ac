"""Contains an instance with three volumes as whole processes, ours and Cloud Custodian's in turns; reports medians."""

import concurrent.futures
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from measure import ROOT, event_for, range_up

HERE = pathlib.Path(__file__).resolve().parent
WAVES = [["aws-protect-instance", "aws-snapshot-volumes"], ["aws-isolate-instance", "aws-detach-role"]]
SEED = """
import boto3, json
ec2, iam = boto3.client("ec2"), boto3.client("iam")
trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
for name in ("web", "isolation"):
    try:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    except iam.exceptions.EntityAlreadyExistsException:
        pass
for p in iam.list_role_policies(RoleName="web")["PolicyNames"]:
    iam.delete_role_policy(RoleName="web", PolicyName=p)
for old in ec2.describe_instances()["Reservations"]:
    ec2.terminate_instances(InstanceIds=[i["InstanceId"] for i in old["Instances"]])
vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
closed = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["closed"]}])["SecurityGroups"]
closed = closed[0]["GroupId"] if closed else ec2.create_security_group(GroupName="closed", Description="closed", VpcId=vpc)["GroupId"]
devices = [{"DeviceName": d, "Ebs": {"VolumeSize": 8}} for d in ("/dev/sda1", "/dev/sdf", "/dev/sdg")]
instance = ec2.run_instances(ImageId="ami-0a1b2c3d4e5f60718", InstanceType="m5.large", MinCount=1, MaxCount=1, BlockDeviceMappings=devices)["Instances"][0]["InstanceId"]
ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "web"})
print(json.dumps([instance, closed]))
"""
CHECK = """
import boto3, json, os
ec2, instance = boto3.client("ec2"), os.environ["INSTANCE"]
it = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
volumes = [m["Ebs"]["VolumeId"] for m in it["BlockDeviceMappings"]]
shots = ec2.describe_snapshots(OwnerIds=["self"], Filters=[{"Name": "volume-id", "Values": volumes}])["Snapshots"]
profiles = ec2.describe_iam_instance_profile_associations(Filters=[{"Name": "instance-id", "Values": [instance]}])["IamInstanceProfileAssociations"]
print(json.dumps([len(shots), [g["GroupName"] for i in it["NetworkInterfaces"] for g in i["Groups"]], [p["IamInstanceProfile"]["Arn"] for p in profiles]]))
"""


def python(venv, script, environment, **more):
    done = subprocess.run([venv, "-c", script], env={**environment, **more}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {done.stderr}")
    return json.loads(done.stdout)


def own_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(run):
    cpu, begun = own_time(), time.perf_counter()
    run()
    return {"wall": (time.perf_counter() - begun) * 1000, "cpu": (own_time() - cpu) * 1000}


def main():
    target, profile, c7n, rounds = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    range_binary = str(target / "debug/range")
    boto = subprocess.run([range_binary, "venv"], capture_output=True, text=True, check=True).stdout.strip()
    runs = {"Stanch": [], "Stanch, one after the other": [], "Cloud Custodian": []}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        up, aws = range_up(range_binary, folder)
        try:
            account = aws["RANGE_AWS_ACCOUNT"]
            shared = {key: value for key, value in aws.items() if key.startswith("AWS_")}
            environment = {"PATH": os.environ["PATH"], "HOME": name, **shared}
            limits = {"per_ten_minutes": 9999, "per_day": 9999}
            names = [responder for wave in WAVES for responder in wave]
            guard = {"accounts": [account], "auto": names, "limits": {responder: limits for responder in names}}
            ours = {**environment, "STANCH_GUARD": json.dumps(guard), "STANCH_MODE": "enforce"}

            def stanch(event, waves, number):
                def one(responder):
                    given = {**ours, "STANCH_LEDGER": f"sqlite:{folder}/{number}-{responder}.db"}
                    command = [str(target / profile / responder), "apply", "--event", str(event), "--json"]
                    done = subprocess.run(command, env=given, capture_output=True, text=True)
                    if done.returncode or '"applied"' not in done.stdout:
                        sys.exit(f"bench: {responder}: {done.stdout}{done.stderr}")

                def run():
                    with concurrent.futures.ThreadPoolExecutor() as pool:
                        for wave in waves:
                            list(pool.map(one, wave))

                return run

            def custodian(instance, closed):
                actions = [
                    {"type": "snapshot", "copy-tags": ["Name"]},
                    {"type": "modify-security-groups", "remove": "all", "isolation-group": closed},
                    {"type": "set-instance-profile"},
                ]
                policy = {
                    "name": "contain", "resource": "aws.ec2", "actions": actions,
                    "filters": [{"InstanceId": instance}], "query": [{"instance-id": instance}],
                }
                (folder / "policy.json").write_text(json.dumps({"policies": [policy]}))
                command = [f"{c7n}/bin/custodian", "run", "--cache-period", "0", "-s", str(folder / "out"), "-r",
                           shared["AWS_REGION"], str(folder / "policy.json")]

                def run():
                    done = subprocess.run(command, env=environment, capture_output=True, text=True)
                    if done.returncode:
                        sys.exit(f"bench: custodian: {done.stderr}")

                return run

            for number in range(rounds + 1):
                for index, name in enumerate(runs):
                    instance, closed = python(boto, SEED, environment)
                    event = folder / "event.json"
                    event.write_text(json.dumps(event_for(instance, account, number * 3 + index + 1)))
                    if name == "Cloud Custodian":
                        run = custodian(instance, closed)
                    else:
                        waves = WAVES if name == "Stanch" else [[responder] for wave in WAVES for responder in wave]
                        run = stanch(event, waves, number * 3 + index)
                    result = measured(run)
                    shots, groups, profiles = python(boto, CHECK, environment, INSTANCE=instance)
                    if shots != 3 or profiles or any(group == "default" for group in groups):
                        sys.exit(f"bench: {name} did not contain it: {shots} snapshots, {groups}, {profiles}")
                    if number:  # the first round warms the disk cache
                        runs[name].append(result)
        finally:
            up.stdin.close()
            up.wait(timeout=30)

    median = lambda name, what: statistics.median(run[what] for run in runs[name])
    lines = [
        "# Containing one EC2 instance, beside Cloud Custodian",
        "",
        f"Written by `tests/bench/custodian`: {rounds} rounds, in turns, on one moto; medians. {platform.machine()}, "
        f"{os.cpu_count()} cores, profile `{profile}`, c7n 0.9.53 on Python {platform.python_version()}. Three EBS volumes. From the start "
        "of the first process to the end of the last, everything is contained and read back by boto3. Cloud Custodian: one "
        "process with `snapshot`, `modify-security-groups`, `set-instance-profile`. Stanch: aws-protect-instance and "
        "aws-snapshot-volumes at once, then aws-isolate-instance and aws-detach-role at once (five protections, a "
        "crash-consistent set, a verified quarantine group, the role's sessions denied, and every step in the ledger and "
        "looked at afterwards, which the other does not do).",
        "",
        "| | time | | own processor time | |",
        "|---|---|---|---|---|",
    ]
    for name in runs:
        ratios = [f"{median('Cloud Custodian', what) / median(name, what):.1f} ×" for what in ("wall", "cpu")]
        lines.append(f"| {name} | {median(name, 'wall'):.0f} ms | {ratios[0]} | {median(name, 'cpu'):.0f} ms | {ratios[1]} |")
    lines += ["", "The time of Stanch is mostly moto's, which answers one call after the other; its own is the processor time.", ""]
    text = "\n".join(lines)
    (HERE / "RESULTS-aws.md").write_text(text)
    print(text)


main()
