"""An instance as the describe calls show it, without what AWS assigns anew: one list, for every responder."""
import json, os
import boto3

# What has another value each time that the same thing is set: ids of associations, times, fingerprints.
ANEW = {"AssociationId", "AttachTime", "LaunchTime", "UsageOperationUpdateTime", "ResponseMetadata", "RequestId",
        "StateTransitionReason", "CreateTime", "LastModifiedTime"}


def kept(value):
    if isinstance(value, dict):
        return {key: kept(inner) for key, inner in sorted(value.items()) if key not in ANEW}
    if isinstance(value, list):
        return sorted((kept(inner) for inner in value), key=lambda inner: json.dumps(inner, default=str))
    return value


instance = json.loads(os.environ["RANGE_INPUT"])
ec2, scaling = boto3.client("ec2"), boto3.client("autoscaling")
described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
vpc = described.get("VpcId")
enis = ec2.describe_network_interfaces(Filters=[{"Name": "attachment.instance-id", "Values": [instance]}])
attributes = {
    name: ec2.describe_instance_attribute(InstanceId=instance, Attribute=name)[name[0].upper() + name[1:]]
    for name in ("disableApiTermination", "disableApiStop", "instanceInitiatedShutdownBehavior")
}
auto = {
    eni["NetworkInterfaceId"]: ec2.describe_network_interface_attribute(
        NetworkInterfaceId=eni["NetworkInterfaceId"], Attribute="associatePublicIpAddress")["AssociatePublicIpAddress"]
    for eni in enis["NetworkInterfaces"]
}
groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"] if vpc else []
members = scaling.describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"]
names = [member["AutoScalingGroupName"] for member in members]
sizes = [
    {key: group[key] for key in ("AutoScalingGroupName", "MinSize", "MaxSize", "DesiredCapacity")}
    for group in scaling.describe_auto_scaling_groups(AutoScalingGroupNames=names)["AutoScalingGroups"]
] if names else []
print(json.dumps(kept({
    "instance": described,
    "interfaces": enis["NetworkInterfaces"],
    "auto_assign": auto,
    "attributes": attributes,
    "addresses": [a for a in ec2.describe_addresses()["Addresses"] if a.get("NetworkInterfaceId") in auto],
    "groups": [group for group in groups if group["GroupName"].startswith("stanch-")],
    "scaling": members,
    "sizes": sizes,
}), default=str))
