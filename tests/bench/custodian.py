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

from measure import event_for, range_up

HERE = pathlib.Path(__file__).resolve().parent
EQUAL = ["aws-snapshot-volumes", "aws-isolate-instance", "aws-detach-role"]
WAVES = [["aws-protect-instance", "aws-snapshot-volumes"], ["aws-isolate-instance", "aws-detach-role"]]
CUSTODIAN, STANCH, SAME = "Cloud Custodian", "Stanch, four responders in two waves", "Stanch, the same three at once"

# A group without rules is there before, for whoever wants one: ours makes its own in the first round and finds it later.
SEED = """
import boto3, json
ec2, iam = boto3.client("ec2"), boto3.client("iam")
trust = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
try:
    iam.create_role(RoleName="web", AssumeRolePolicyDocument=trust)
    iam.create_instance_profile(InstanceProfileName="web")
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
except iam.exceptions.EntityAlreadyExistsException:
    pass
for policy in iam.list_role_policies(RoleName="web")["PolicyNames"]:
    iam.delete_role_policy(RoleName="web", PolicyName=policy)
vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
closed = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["closed"]}])["SecurityGroups"]
if not closed:
    made = ec2.create_security_group(GroupName="closed", Description="closed", VpcId=vpc)["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=made, IpPermissions=everything)
    closed = [{"GroupId": made}]
devices = [{"DeviceName": name, "Ebs": {"VolumeSize": 8}} for name in ("/dev/sda1", "/dev/sdf", "/dev/sdg")]
instance = ec2.run_instances(ImageId="ami-0a1b2c3d4e5f60718", InstanceType="m5.large", MinCount=1, MaxCount=1,
                             BlockDeviceMappings=devices)["Instances"][0]["InstanceId"]
ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "web"})
print(json.dumps([instance, closed[0]["GroupId"]]))
"""
# The state that both sides have to end in.
CHECK = """
import boto3, json, os
ec2, instance = boto3.client("ec2"), os.environ["INSTANCE"]
it = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
volumes = [mapping["Ebs"]["VolumeId"] for mapping in it["BlockDeviceMappings"]]
owned = [{"Name": "volume-id", "Values": volumes}]
captured = {shot["VolumeId"] for shot in ec2.describe_snapshots(OwnerIds=["self"], Filters=owned)["Snapshots"]}
groups = [group["GroupId"] for interface in it["NetworkInterfaces"] for group in interface["Groups"]]
rules = [rule for group in ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
         for rule in group["IpPermissions"] + group["IpPermissionsEgress"]]
of_it = [{"Name": "instance-id", "Values": [instance]}]
profiles = ec2.describe_iam_instance_profile_associations(Filters=of_it)["IamInstanceProfileAssociations"]
print(json.dumps({"captured": len(captured), "interfaces": len(it["NetworkInterfaces"]), "groups": len(groups),
                  "rules": len(rules), "profiles": len(profiles)}))
# The next run starts as this one did: what is there already is looked through at each call.
for shot in ec2.describe_snapshots(OwnerIds=["self"], Filters=owned)["Snapshots"]:
    ec2.delete_snapshot(SnapshotId=shot["SnapshotId"])
ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": False})
ec2.terminate_instances(InstanceIds=[instance])
"""
WANTED = {"captured": 3, "interfaces": 1, "groups": 1, "rules": 0, "profiles": 0}


def python(interpreter, script, environment, **more):
    done = subprocess.run([interpreter, "-c", script], env={**environment, **more}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {done.stderr}")
    return json.loads(done.stdout)


def own_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(run):
    own, begun = own_time(), time.perf_counter()
    run()
    return {"wall": (time.perf_counter() - begun) * 1000, "own": (own_time() - own) * 1000}


class Bench:
    def __init__(self, binaries, custodian, aws, folder):
        self.binaries, self.custodian, self.folder = binaries, custodian, folder
        self.account = aws["RANGE_AWS_ACCOUNT"]
        self.region = aws["AWS_REGION"]
        shared = {key: value for key, value in aws.items() if key.startswith("AWS_")}
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **shared}
        names = [responder for wave in WAVES for responder in wave]
        many = {"per_ten_minutes": 9999, "per_day": 9999}
        guard = {"accounts": [self.account], "auto": names, "limits": {name: many for name in names}}
        self.ours = {**self.environment, "STANCH_GUARD": json.dumps(guard)}

    def stanch(self, waves, event, number):
        def one(responder):
            given = {**self.ours, "STANCH_LEDGER": f"sqlite:{self.folder}/{number}-{responder}.db"}
            command = [str(self.binaries / responder), "apply", "--event", str(event), "--json"]
            done = subprocess.run(command, env=given, capture_output=True, text=True)
            if done.returncode or json.loads(done.stdout)["status"] != "applied":
                sys.exit(f"bench: {responder}: {done.stdout}{done.stderr}")

        with concurrent.futures.ThreadPoolExecutor() as pool:
            for wave in waves:
                list(pool.map(one, wave))

    def other(self, instance, closed):
        policy = {
            "name": "contain",
            "resource": "aws.ec2",
            "query": [{"instance-id": instance}],
            "filters": [{"InstanceId": instance}],
            "actions": [
                {"type": "snapshot", "copy-tags": ["Name"]},
                {"type": "modify-security-groups", "remove": "all", "isolation-group": closed},
                {"type": "set-instance-profile"},
            ],
        }
        place = self.folder / "policy.json"
        place.write_text(json.dumps({"policies": [policy]}))
        command = [self.custodian, "run", "--cache-period", "0", "-s", str(self.folder / "out"), "-r", self.region, str(place)]

        def run():
            done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"bench: custodian: {done.stdout}{done.stderr}")

        return run

    def prepared(self, name, instance, closed, number):
        if name == CUSTODIAN:
            return self.other(instance, closed)
        event = self.folder / "event.json"
        event.write_text(json.dumps(event_for(instance, self.account, number)))
        return lambda: self.stanch(WAVES if name == STANCH else [EQUAL], event, number)


def table(runs, profile, rounds):
    median = lambda name, what: statistics.median(run[what] for run in runs[name])
    lines = [
        "# Containing one EC2 instance, beside Cloud Custodian",
        "",
        f"Written by `tests/bench/custodian`: {rounds} rounds, in turns, on one moto; medians. {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, profile `{profile}`. One instance with "
        "three EBS volumes, one interface and a profile. Whole processes: from the start of the first to the end of the "
        "last. After each run boto3 reads back that all three volumes are captured, the interface is in one group without "
        "rules, and no profile is left.",
        "",
        "Cloud Custodian is one process with `snapshot`, `modify-security-groups` and `set-instance-profile`. Ours are "
        "aws-snapshot-volumes, aws-isolate-instance and aws-detach-role at once; and the whole order of an incident, "
        "aws-protect-instance and aws-snapshot-volumes first, then the other two. They also write every step into a ledger "
        "before it is made, look at what they wrote, make sure of the quarantine group's rules and deny the sessions that "
        "the instance has handed out.",
        "",
        "| | time | faster | own processor time | less |",
        "|---|---|---|---|---|",
    ]
    for name in runs:
        ratios = [f"{median(CUSTODIAN, what) / median(name, what):.1f} ×" for what in ("wall", "own")]
        ratios = ["", ""] if name == CUSTODIAN else ratios
        lines.append(f"| {name} | {median(name, 'wall'):.0f} ms | {ratios[0]} | {median(name, 'own'):.0f} ms | {ratios[1]} |")
    lines += ["", "moto answers one call at a time, in Python: what is not processor time of one's own is mostly waiting for it.", ""]
    return "\n".join(lines)


def main():
    range_binary, binaries, profile, rounds = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    venv = lambda *which: subprocess.run(
        [range_binary, "venv", *which], capture_output=True, text=True, check=True).stdout.strip()
    boto, custodian = venv(), str(pathlib.Path(venv("custodian")).parent / "custodian")
    runs = {CUSTODIAN: [], SAME: [], STANCH: []}
    with tempfile.TemporaryDirectory() as folder:
        up, aws = range_up(range_binary, pathlib.Path(folder))
        try:
            bench = Bench(binaries, custodian, aws, pathlib.Path(folder))
            # The first round warms caches, and makes the groups.
            for turn in range(rounds + 1):
                for index, name in enumerate(runs):
                    instance, closed = python(boto, SEED, bench.environment)
                    result = measured(bench.prepared(name, instance, closed, turn * len(runs) + index + 1))
                    state = python(boto, CHECK, bench.environment, INSTANCE=instance)
                    if state != WANTED:
                        sys.exit(f"bench: {name} left {state}")
                    if turn:
                        runs[name].append(result)
        finally:
            up.stdin.close()
            up.wait(timeout=30)
    text = table(runs, profile, rounds)
    (HERE / "CUSTODIAN.md").write_text(text)
    print(text)


main()
