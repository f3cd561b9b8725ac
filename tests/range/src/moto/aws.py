"""Where moto is not AWS, made so: what moto lacks or accepts, and AWS has or refuses with a documented error.

These are here, not in the proxy, because each depends on what moto holds: the lifecycle of an instance, the sizes of a
group, what uses a security group."""
from moto.autoscaling import models as scaling
from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.responses.elastic_network_interfaces import ElasticNetworkInterfaces
from moto.ec2.responses.instances import InstanceResponse
from moto.elbv2.models import FakeTargetGroup


def instead(owner, name):
    """Puts a function in the place of a method; it gets the one that was there first."""
    def put(function):
        was = getattr(owner, name, None)
        setattr(owner, name, lambda self, *args, **kwargs: function(was, self, *args, **kwargs))
        return function
    return put


# EC2: instance attributes. "You can't enable termination protection for Spot Instances", nor stop protection.
@instead(InstanceResponse, "modify_instance_attribute")
def modify_instance_attribute(was, self):
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    for attribute in ("DisableApiTermination", "DisableApiStop"):
        if self._get_param(f"{attribute}.Value") is not None and instance.lifecycle == "spot":
            name = attribute[0].lower() + attribute[1:]
            raise EC2ClientError("UnsupportedOperation", f"Modifying '{name}' is not supported for spot instances.")
    # moto takes it for a change of the security groups.
    behaviour = self._get_param("InstanceInitiatedShutdownBehavior.Value")
    if behaviour is not None:
        self.error_on_dryrun()
        instance.instance_initiated_shutdown_behavior = behaviour
        return EmptyResult()
    return was(self)


# EC2: interfaces. Groups belong to the interface alone; a public address can be taken from it and given to it.
NetworkInterface.group_set = property(lambda self: self._group_set)


def has_elastic(self):
    return any(eip.eni is self and eip.public_ip == self.public_ip for eip in self.ec2_backend.addresses)


@instead(ElasticNetworkInterfaces, "modify_network_interface_attribute")
def modify_network_interface_attribute(was, self):
    wanted = self._get_param("AssociatePublicIpAddress")
    if wanted is None:
        return was(self)
    self.error_on_dryrun()
    eni = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    eni.public_ip_auto_assign = str(wanted).lower() == "true"
    if eni.public_ip_auto_assign and not eni.public_ip:
        eni.check_auto_public_ip()
    elif not eni.public_ip_auto_assign and not has_elastic(eni):
        eni.public_ip = None
    return EmptyResult()


@instead(ElasticNetworkInterfaces, "describe_network_interface_attribute")
def describe_network_interface_attribute(was, self):
    if self._get_param("Attribute") != "associatePublicIpAddress":
        return was(self)
    self.error_on_dryrun()
    eni = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    on = str(eni.public_ip_auto_assign).lower() == "true"
    return ActionResult({"NetworkInterfaceId": eni.id, "AssociatePublicIpAddress": on})


# EC2: branch interfaces. A trunk is one by having a branch; both show as what they are.
def associate_trunk_interface(self):
    self.error_on_dryrun()
    trunk, branch = (self.ec2_backend.get_network_interface(self._get_param(name))
                     for name in ("TrunkInterfaceId", "BranchInterfaceId"))
    trunk.interface_type, branch.interface_type, branch.trunk = "trunk", "branch", trunk
    return ActionResult({"InterfaceAssociation": association(branch)})


def association(branch):
    return {"AssociationId": branch.id.replace("eni", "trunk-assoc"), "BranchInterfaceId": branch.id,
            "TrunkInterfaceId": branch.trunk.id, "InterfaceProtocol": "VLAN", "VlanId": 1}


def describe_trunk_interface_associations(self):
    self.error_on_dryrun()
    branches = [eni for eni in self.ec2_backend.enis.values() if eni.interface_type == "branch"]
    return ActionResult({"InterfaceAssociations": [association(branch) for branch in branches]})


ElasticNetworkInterfaces.associate_trunk_interface = associate_trunk_interface
ElasticNetworkInterfaces.describe_trunk_interface_associations = describe_trunk_interface_associations


# EC2: a group that is in use is not deleted.
@instead(EC2Backend, "delete_security_group")
def delete_security_group(was, self, name=None, group_id=None):
    group = self.get_security_group_from_id(group_id) if group_id else None
    if group and any(used.id == group.id for eni in self.enis.values() for used in eni._group_set):
        raise EC2ClientError("DependencyViolation", f"resource {group.id} has a dependent object")
    return was(self, name, group_id)


# EC2: an address that is somewhere else is not taken away unasked.
@instead(EC2Backend, "associate_address")
def associate_address(was, self, instance=None, eni=None, address=None, allocation_id=None, reassociate=False):
    found = self.address_by_allocation([allocation_id])[0] if allocation_id else None
    if found and found.eni and eni and found.eni.id != eni.id and str(reassociate).lower() != "true":
        raise EC2ClientError("Resource.AlreadyAssociated", f"resource {allocation_id} is already associated with "
                             f"associate-id {found.association_id}")
    return was(self, instance, eni, address, allocation_id, reassociate)


# Auto Scaling: the sizes of a group hold.
def within(group, desired, doing):
    if not group.min_size <= desired <= group.max_size:
        raise AutoscalingClientError(
            "ValidationError",
            f"AutoScalingGroup {group.name} has min-size={group.min_size}, max-size={group.max_size}, and "
            f"desired-size={group.desired_capacity}. To {doing} 1 instance, please update the AutoScalingGroup sizes "
            "appropriately.")


def member(group, instance_ids, states, doing):
    for state in group.instance_states:
        if state.instance.id in instance_ids and state.lifecycle_state not in states:
            raise AutoscalingClientError(
                "ValidationError",
                f"The instance {state.instance.id} is not in {' or '.join(states)} and cannot be {doing}.")


Backend = scaling.AutoScalingBackend


@instead(Backend, "enter_standby_instances")
def enter_standby(was, self, group_name, instance_ids, should_decrement):
    group = self.autoscaling_groups[group_name]
    member(group, instance_ids, ["InService"], "moved to Standby")
    if should_decrement:
        within(group, group.desired_capacity - 1, "place into standby")
    done = was(self, group_name, instance_ids, should_decrement)
    for arn in group.target_group_arns:
        self.elbv2_backend.deregister_targets(arn, [{"Id": instance} for instance in instance_ids])
    return done


@instead(Backend, "exit_standby_instances")
def exit_standby(was, self, group_name, instance_ids):
    group = self.autoscaling_groups[group_name]
    member(group, instance_ids, ["Standby"], "moved out of Standby")
    within(group, group.desired_capacity + 1, "take out of standby")
    return was(self, group_name, instance_ids)


@instead(Backend, "detach_instances")
def detach(was, self, group_name, instance_ids, should_decrement):
    group = self.autoscaling_groups[group_name]
    if should_decrement:
        within(group, group.desired_capacity - 1, "detach")
    done = was(self, group_name, instance_ids, should_decrement)
    for arn in group.target_group_arns:
        self.elbv2_backend.deregister_targets(arn, [{"Id": instance} for instance in instance_ids])
    return done


@instead(Backend, "attach_instances")
def attach(was, self, group_name, instance_ids):
    group = self.autoscaling_groups[group_name]
    within(group, group.desired_capacity + 1, "attach")
    return was(self, group_name, instance_ids)


@instead(Backend, "update_attached_target_groups")
def update_attached_target_groups(was, self, group_name):
    group = self.autoscaling_groups[group_name]
    for arn in group.target_group_arns:
        port = self.elbv2_backend.target_groups[arn].port
        serving = [{"Id": state.instance.id, "Port": port} for state in group.active_instances()]
        self.elbv2_backend.register_targets(arn, serving)


# moto has no instance refresh: none is under way.
AutoScalingResponse.describe_instance_refreshes = lambda self: ActionResult({"InstanceRefreshes": []})


# ELBv2: what is not registered is deregistered without an error.
@instead(FakeTargetGroup, "deregister")
def deregister(was, self, targets):
    return was(self, [target for target in targets if target["Id"] in self.targets])
