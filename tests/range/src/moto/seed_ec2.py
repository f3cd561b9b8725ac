import ipaddress, json, os, uuid
import boto3

want = json.loads(os.environ["RANGE_INPUT"])
ec2 = boto3.client("ec2")
region = ec2.meta.region_name


def network():
    if want.get("ipv4_only"):
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=region + "a")
        return vpc, subnet["Subnet"]["SubnetId"]
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    described = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]
    ipv6 = ipaddress.ip_network(described["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"], strict=False)
    first = next(ipv6.subnets(new_prefix=64)) if ipv6.prefixlen < 64 else ipv6
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", Ipv6CidrBlock=str(first), AvailabilityZone=region + "a")
    return vpc, subnet["Subnet"]["SubnetId"]


vpc, subnet = (want["vpc"], want["subnet"]) if want.get("vpc") else network()
devices = [
    {"DeviceName": "/dev/sda1" if i == 0 else f"/dev/sd{chr(ord('e') + i)}",
     "Ebs": {"VolumeSize": 8 + i, "VolumeType": "gp3", "DeleteOnTermination": i % 2 == 0}}
    for i in range(want.get("volumes", 1))
]
interfaces = want.get("interfaces") or [{}]


def groups(wanted):
    made = []
    for _ in range(wanted.get("groups", 1)):
        name = f"app-{uuid.uuid4().hex[:8]}"
        made.append(ec2.create_security_group(GroupName=name, Description="app", VpcId=vpc)["GroupId"])
    return made


first, others = interfaces[0], interfaces[1:]
market = {"InstanceMarketOptions": {"MarketType": "spot"}} if want.get("spot") else {}
instance = ec2.run_instances(
    ImageId="ami-0a1b2c3d4e5f60718", InstanceType="m5.large", MinCount=1, MaxCount=1, BlockDeviceMappings=devices,
    NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet, "Groups": groups(first), "DeleteOnTermination": True,
                        "AssociatePublicIpAddress": first.get("address") == "auto" or bool(first.get("auto"))}], **market,
)["Instances"][0]["InstanceId"]
for index, other in enumerate(others, start=1):
    eni = ec2.create_network_interface(SubnetId=subnet, Groups=groups(other))["NetworkInterface"]["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=index)
described = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
enis = sorted(described["NetworkInterfaces"], key=lambda eni: eni["Attachment"]["DeviceIndex"])
enis = [eni["NetworkInterfaceId"] for eni in enis]
for eni, wanted in zip(enis, interfaces):
    if wanted.get("ipv6"):
        ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6AddressCount=wanted["ipv6"])
    if wanted.get("address") == "elastic":
        address = ec2.allocate_address(Domain="vpc")
        ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=eni)
tags = [{"Key": key, "Value": value} for key, value in want.get("tags", {}).items()]
if tags:
    ec2.create_tags(Resources=[instance], Tags=tags)
name = None
if want.get("group"):
    scaling, sizes = boto3.client("autoscaling"), want["group"]
    name = f"web-{uuid.uuid4().hex[:8]}"
    ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": "ami-0a1b2c3d4e5f60718", "InstanceType": "m5.large"})
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=sizes["max"], DesiredCapacity=sizes["desired"] - 1,
        LaunchTemplate={"LaunchTemplateName": name}, VPCZoneIdentifier=subnet)
    scaling.attach_instances(AutoScalingGroupName=name, InstanceIds=[instance])
    scaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=sizes["min"])
if want.get("stopped"):
    ec2.stop_instances(InstanceIds=[instance])
attached = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance]}])["Volumes"]
attached.sort(key=lambda volume: volume["Attachments"][0]["Device"])
print(json.dumps({
    "id": instance, "region": region, "account": boto3.client("sts").get_caller_identity()["Account"],
    "volumes": [volume["VolumeId"] for volume in attached], "interfaces": enis, "vpc": vpc, "subnet": subnet,
    "group": name,
}))
