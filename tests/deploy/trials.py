"""What each responder is tried on, with the options that take every permission that it has: `tests/contract/aws_rights.rs`
has the same."""

import contextlib
import io
import json
import os
import pathlib
import uuid

from policies import ACCOUNT, CLUSTER, REGION, attached, client, inline

ROOT = pathlib.Path(__file__).resolve().parents[2]


def of_range(script, want):
    """One of the range's scripts."""
    os.environ["RANGE_INPUT"] = json.dumps(want)
    out = io.StringIO()
    text = (ROOT / "tests/range/src/moto" / f"{script}.py").read_text()
    with contextlib.redirect_stdout(out):
        exec(compile(text, script, "exec"), {"__name__": "__main__"})
    return json.loads(out.getvalue())


def account():
    return client("sts").get_caller_identity()["Account"]


def instance(name):
    return {"kind": "ec2-instance", "account": account(), "region": REGION, "id": name}


class Trial:
    """A kind of target, what its state is and when it is contained; and the options of the order. `first`: a permission
    that it is known to need, where the others would take long to show that they do not."""

    def __init__(self, name, options=None, first=None, **wanted):
        self.name, self.options, self.first, self.wanted = name, options, first, wanted


    def restored(self, before):
        return before

    def clean(self, target):
        pass


class OfInstance(Trial):
    def make(self, deployed):
        self.seeded = of_range("seed_ec2", self.wanted)
        return instance(self.seeded["id"])

    def state(self, target):
        return of_range("describe", target["id"])


class Isolation(OfInstance):
    def make(self, deployed):
        ec2 = client("ec2")
        target = super().make(deployed)
        if self.name == "a node":
            pod = ec2.create_network_interface(SubnetId=self.seeded["subnet"])["NetworkInterface"]["NetworkInterfaceId"]
            ec2.associate_trunk_interface(BranchInterfaceId=pod, TrunkInterfaceId=self.seeded["interfaces"][-1])
        if self.name == "an opened quarantine":
            # As the responder would name it here; it learns the name from a plan.
            planned = deployed.run("plan", target, self.options)
            name = next(word for word in json.dumps(planned).replace('"', " ").replace("\\", " ").split()
                        if word.startswith("stanch-quarantine"))
            vpc = self.seeded["vpc"]
            group = ec2.create_security_group(GroupName=name, Description="quarantine", VpcId=vpc)["GroupId"]
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
        return target

    def contained(self, state):
        ours = {it["GroupId"]: it for it in state["groups"]}
        groups = [group["GroupId"] for it in state["interfaces"] for group in it["Groups"]]
        return all(group in ours and not ours[group]["IpPermissions"] for group in groups)

    def restored(self, before):
        # A group that others made under our name goes with its last user.
        return {**before, "groups": []}


class Protection(OfInstance):
    def contained(self, state):
        attributes = state["attributes"]
        return (attributes["disableApiTermination"]["Value"] and attributes["disableApiStop"]["Value"]
                and attributes["instanceInitiatedShutdownBehavior"]["Value"] == "stop"
                and all(it["ProtectedFromScaleIn"] for it in state["scaling"]))


class NoPublicAddress(OfInstance):
    def contained(self, state):
        return not state["addresses"] and not any(
            it.get("Association") or it["Ipv6Addresses"] for it in state["interfaces"])


class Mark(OfInstance):
    def contained(self, state):
        tags = {tag["Key"]: tag["Value"] for tag in state["instance"].get("Tags", [])}
        return (tags.get("stanch:status"), tags.get("stanch:incident")) == ("under-investigation", "case-1")


class Evidence(OfInstance):
    def state(self, target):
        ec2 = client("ec2")
        volumes = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [target["id"]]}])["Volumes"]
        found = ec2.describe_snapshots(Filters=[{"Name": "volume-id", "Values": [it["VolumeId"] for it in volumes]}])
        return {"volumes": sorted(it["VolumeId"] for it in volumes), "of": sorted(it["VolumeId"] for it in found["Snapshots"])}

    def contained(self, state):
        return state["volumes"] == state["of"]


class Release(OfInstance):
    def make(self, deployed):
        target = super().make(deployed)
        elb, elbv2, name = client("elb"), client("elbv2"), target["id"][-8:]
        vpc, group = self.seeded["vpc"], self.seeded["group"]
        own, hand = (elbv2.create_target_group(Name=f"{kind}-{name}", Protocol="HTTP", Port=80, VpcId=vpc)[
            "TargetGroups"][0]["TargetGroupArn"] for kind in ("own", "hand"))
        client("autoscaling").attach_load_balancer_target_groups(AutoScalingGroupName=group, TargetGroupARNs=[own])
        elbv2.register_targets(TargetGroupArn=hand, Targets=[{"Id": target["id"], "Port": 8080}])
        elb.create_load_balancer(LoadBalancerName=f"old-{name}", AvailabilityZones=[f"{REGION}a"], Listeners=[
            {"Protocol": "http", "LoadBalancerPort": 80, "InstancePort": 80}])
        members = [{"InstanceId": target["id"]}]
        elb.register_instances_with_load_balancer(LoadBalancerName=f"old-{name}", Instances=members)
        self.groups, self.balancer = {own: "own", hand: "hand"}, f"old-{name}"
        return target

    def state(self, target):
        served = [name for arn, name in self.groups.items()
                  for it in client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
                  if it["Target"]["Id"] == target["id"] and it["TargetHealth"].get("Reason") != "Target.NotRegistered"]
        old, = client("elb").describe_load_balancers(LoadBalancerNames=[self.balancer])["LoadBalancerDescriptions"]
        members = client("autoscaling").describe_auto_scaling_instances(InstanceIds=[target["id"]])["AutoScalingInstances"]
        return {"served": sorted(served), "old": [it["InstanceId"] for it in old["Instances"]],
                "member": [it["LifecycleState"] for it in members]}

    def contained(self, state):
        return not state["served"] and not state["old"] and state["member"] != ["InService"]

    def clean(self, target):
        # Each look lists them all.
        for arn in self.groups:
            client("elbv2").delete_target_group(TargetGroupArn=arn)
        client("elb").delete_load_balancer(LoadBalancerName=self.balancer)


def allow(principal, action="sts:AssumeRole", **more):
    return {"Effect": "Allow", "Principal": principal, "Action": action, **more}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}


class WithRole(OfInstance):
    """An instance with a role; `profile`: and another profile for it, without anything."""

    def make(self, deployed):
        iam, ec2, mark = client("iam"), client("ec2"), uuid.uuid4().hex[:12]
        self.role = f"web-{mark}"
        for role, profile in ((self.role, self.role), ("ssm", "ssm-only")):
            with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
                iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy(allow({"Service": "ec2.amazonaws.com"})))
                iam.create_instance_profile(InstanceProfileName=profile)
                iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
        iam.put_role_policy(RoleName=self.role, PolicyName="app", PolicyDocument=policy(READ))
        made = ec2.run_instances(ImageId="ami-0a1b2c3d4e5f60718", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        ec2.associate_iam_instance_profile(InstanceId=made, IamInstanceProfile={"Name": self.role})
        if self.wanted.get("tag"):
            # That only Auto Scaling can set.
            ec2.create_tags(Resources=[made], Tags=[{"Key": "aws:autoscaling:groupName", "Value": "gone"}])
        return instance(made)

    def state(self, target):
        ec2 = client("ec2")
        instance = ec2.describe_instances(InstanceIds=[target["id"]])["Reservations"][0]["Instances"][0]
        found = ec2.describe_iam_instance_profile_associations(Filters=[{"Name": "instance-id", "Values": [target["id"]]}])
        return {"profiles": [it["IamInstanceProfile"]["Arn"].split("/")[-1] for it in found["IamInstanceProfileAssociations"]],
                "imds": instance.get("MetadataOptions", {}).get("HttpEndpoint", "enabled"), "policies": inline(self.role)}

    def contained(self, state):
        imds = "disabled" if self.options and self.options.get("disable_imds") else "enabled"
        return (self.role not in state["profiles"] and state["imds"] == imds
                and any(it["Statement"][0]["Effect"] == "Deny" for it in state["policies"].values()))


class TheEnd(OfInstance):
    """Captured and protected by its siblings before, on whose records it depends."""

    def make(self, deployed):
        target = super().make(deployed)
        for sibling in deployed.siblings:
            # Their roles are being tried meanwhile.
            ours = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
            report = sibling.order(ours, "apply", target)
            assert report.get("status") == "applied", report
        return target

    def state(self, target):
        return client("ec2").describe_instances(InstanceIds=[target["id"]])["Reservations"][0]["Instances"][0]["State"]["Name"]

    def contained(self, state):
        return state in ("shutting-down", "terminated")


class OfRole(Trial):
    """A role that pods come to both ways, and people a third."""

    def make(self, deployed):
        iam, eks, role = client("iam"), client("eks"), f"shop-{uuid.uuid4().hex[:12]}"
        provider = f"oidc.eks.{REGION}.amazonaws.com/id/0123456789ABCDEF"
        trust = policy(
            allow({"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{provider}"}, "sts:AssumeRoleWithWebIdentity",
                  Condition={"StringEquals": {f"{provider}:sub": ["system:serviceaccount:web:shop"]}}),
            allow({"Service": "pods.eks.amazonaws.com"}, ["sts:AssumeRole", "sts:TagSession"]),
            allow({"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"}))
        arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        managed = iam.create_policy(PolicyName=role, PolicyDocument=policy(READ))["Policy"]["Arn"]
        iam.attach_role_policy(RoleName=role, PolicyArn=managed)
        for name in ("shop", "cart"):
            eks.create_pod_identity_association(clusterName=CLUSTER, namespace=role, serviceAccount=name, roleArn=arn)
        return {"kind": "iam-principal", "account": account(), "role": role}

    def state(self, target):
        iam, eks, role = client("iam"), client("eks"), target["role"]
        pods = eks.list_pod_identity_associations(clusterName=CLUSTER, namespace=role)["associations"]
        return {"trust": iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"], "policies": inline(role),
                "attached": sorted(attached(role)), "pods": sorted(it["serviceAccount"] for it in pods)}

    def contained(self, state):
        return (not state["pods"] and not state["attached"] and denies(state["policies"].values())
                and any(it["Effect"] == "Deny" for it in state["trust"]["Statement"]))

    def clean(self, target):
        eks = client("eks")
        for it in eks.list_pod_identity_associations(clusterName=CLUSTER, namespace=target["role"])["associations"]:
            eks.delete_pod_identity_association(clusterName=CLUSTER, associationId=it["associationId"])


def denies(documents):
    return any(statement["Effect"] == "Deny" for document in documents for statement in document["Statement"])


class OfUser(Trial):
    def make(self, deployed):
        iam, self.user = client("iam"), f"ann-{uuid.uuid4().hex[:12]}"
        iam.create_user(UserName=self.user)
        key = iam.create_access_key(UserName=self.user)["AccessKey"]["AccessKeyId"]
        managed = iam.create_policy(PolicyName=self.user, PolicyDocument=policy(READ))["Policy"]["Arn"]
        iam.attach_user_policy(UserName=self.user, PolicyArn=managed)
        iam.put_user_policy(UserName=self.user, PolicyName="app", PolicyDocument=policy(READ))
        return {"kind": "iam-principal", "account": account(), "access_key": key}

    def state(self, target):
        iam = client("iam")
        names = iam.list_user_policies(UserName=self.user)["PolicyNames"]
        keys = iam.list_access_keys(UserName=self.user)["AccessKeyMetadata"]
        return {"keys": {it["AccessKeyId"]: it["Status"] for it in keys},
                "policies": {it: iam.get_user_policy(UserName=self.user, PolicyName=it)["PolicyDocument"] for it in names},
                "attached": [it["PolicyName"] for it in iam.list_attached_user_policies(UserName=self.user)["AttachedPolicies"]]}

    def contained(self, state):
        return (set(state["keys"].values()) == {"Inactive"} and not state["attached"]
                and denies(state["policies"].values()))


GROUP = {"min": 1, "max": 4, "desired": 2}
TRIALS = {
    "aws-contain-principal": [
        OfRole("a role", {"detach_policies": True}),
        OfUser("a user", {"detach_policies": True}),
    ],
    "aws-detach-role": [
        WithRole("all sessions", {"sessions": "all", "disable_imds": True}),
        WithRole("another profile", {"isolation_profile": "ssm-only"}),
        WithRole("in a group", tag=True),
    ],
    "aws-isolate-instance": [
        Isolation("a node", {"even_if_managed": True, "cut_tracked": "on"}, interfaces=[{"groups": 2}, {}], group=GROUP),
        Isolation("an opened quarantine", {"cut_tracked": "on"}, ipv4_only=True),
    ],
    "aws-mark-instance": [Mark("unmarked"), Mark("marked", tags={"stanch:status": "old"})],
    "aws-protect-instance": [Protection("in a group", volumes=3, group=GROUP)],
    "aws-release-instance": [
        Release("standby", group=GROUP),
        Release("detached", {"how": "detach"}, "autoscaling:AttachInstances", group=GROUP),
    ],
    "aws-remove-public-ip": [NoPublicAddress("all kinds", {"ipv6": "unassign", "even_if_managed": True}, group=GROUP,
                                             interfaces=[{"address": "elastic", "auto": True, "ipv6": 1}])],
    "aws-snapshot-volumes": [Evidence("two volumes", volumes=2)],
    "aws-terminate-instance": [TheEnd("captured and protected")],
}
