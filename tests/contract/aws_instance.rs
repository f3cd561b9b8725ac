//! The responders that contain an EC2 instance without ending it.

use std::sync::Arc;

use aws_isolate_instance::AwsIsolateInstance;
use aws_mark_instance::AwsMarkInstance;
use aws_protect_instance::AwsProtectInstance;
use aws_release_instance::AwsReleaseInstance;
use aws_remove_public_ip::AwsRemovePublicIp;
use serde_json::{Value, json};
use stanch_core::{Guard, Responder, Store, Target};
use stanch_range::proxy::Proxy;

use crate::{
    ec2::{self, Ec2},
    suite::{Bed, contract},
};

/// What is the same for all of them.
macro_rules! bed {
    ($Bed:ident for $Responder:ty) => {
        bed!($Bed for $Responder, |bed: &$Bed, target: &Target| bed.0.state(target));
    };
    ($Bed:ident for $Responder:ty, $state:expr) => {
        struct $Bed(Ec2);

        impl $Bed {
            /// What a target needs beside itself: nothing, but where load balancers are.
            fn prepare(&self, target: &Target) {
                if Self::BALANCED {
                    self.0.balance(target);
                }
            }
        }

        impl Bed for $Bed {
            type R = $Responder;
            const KEEPS: bool = false;

            fn cloud(&self) -> <$Responder as Responder>::Cloud {
                self.0.aws().into()
            }
            fn empty_ledger(&self) -> Arc<dyn Store> {
                self.0.empty_ledger()
            }
            fn proxy(&self) -> &Proxy {
                &self.0.proxy
            }
            fn target(&self) -> Target {
                let target = ec2::target(&self.0.seed(&Self::seed()));
                self.prepare(&target);
                target
            }
            fn guard(&self) -> Guard {
                Ec2::guard()
            }
            fn state(&self, target: &Target) -> Value {
                ($state)(self, target)
            }
            fn assert_contained(&self, state: &Value) {
                Self::contained(state);
            }
            fn drift(&self, target: &Target) -> Option<&'static str> {
                self.drifts(target).map(|name| &*name.leak())
            }
            fn undo_by_hand(&self, target: &Target) {
                self.0.on(target, Self::UNDO);
            }
        }
    };
}

bed!(Isolate for AwsIsolateInstance);

impl Isolate {
    const BALANCED: bool = false;
    const UNDO: &str = "\
for eni in ec2.describe_network_interfaces(Filters=[{'Name': 'attachment.instance-id', 'Values': [want]}])['NetworkInterfaces']:
    group = ec2.describe_security_groups(Filters=[{'Name': 'vpc-id', 'Values': [eni['VpcId']]}])['SecurityGroups']
    default = next(g for g in group if g['GroupName'] == 'default')
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni['NetworkInterfaceId'], Groups=[default['GroupId']])
";

    fn seed() -> Value {
        json!({"interfaces": [{"groups": 2}, {"groups": 1}]})
    }

    fn contained(state: &Value) {
        let made = state["groups"].as_array().unwrap();
        let quarantine: Vec<_> =
            made.iter().filter(|g| g["GroupName"].as_str().unwrap().starts_with("stanch-quarantine-")).collect();
        assert_eq!(quarantine.len(), 1, "{made:#?}");
        assert_eq!(quarantine[0]["IpPermissionsEgress"], json!([]), "nothing is let out");
        assert_eq!(quarantine[0]["IpPermissions"], json!([]), "nothing is let in");
        for eni in state["interfaces"].as_array().unwrap() {
            let groups = eni["Groups"].as_array().unwrap();
            assert_eq!(groups.len(), 1, "{eni:#}");
            assert_eq!(groups[0]["GroupId"], quarantine[0]["GroupId"], "{eni:#}");
        }
    }

    fn drifts(&self, target: &Target) -> Option<String> {
        let moved = self.0.on(
            target,
            "\
enis = ec2.describe_network_interfaces(Filters=[{'Name': 'attachment.instance-id', 'Values': [want]}])['NetworkInterfaces']
eni = next(e for e in enis if e['Attachment']['DeviceIndex'] == 1)
made = ec2.create_security_group(GroupName='somebody', Description='else', VpcId=eni['VpcId'])['GroupId']
ec2.modify_network_interface_attribute(NetworkInterfaceId=eni['NetworkInterfaceId'], Groups=[made])
print(json.dumps(eni['NetworkInterfaceId']))
",
        );
        moved.as_str().map(str::to_owned)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_isolate_instance() {
    Box::pin(contract(&Isolate(Ec2::start()))).await;
}

bed!(Protect for AwsProtectInstance);

impl Protect {
    const BALANCED: bool = false;
    const UNDO: &str = "\
ec2.modify_instance_attribute(InstanceId=want, DisableApiTermination={'Value': False})
ec2.modify_instance_attribute(InstanceId=want, BlockDeviceMappings=[
    {'DeviceName': '/dev/sda1', 'Ebs': {'DeleteOnTermination': True}}])
";

    fn seed() -> Value {
        json!({"volumes": 3, "group": {"min": 1, "max": 3, "desired": 2}})
    }

    fn contained(state: &Value) {
        let attributes = &state["attributes"];
        assert_eq!(attributes["disableApiTermination"]["Value"], true, "{state:#}");
        assert_eq!(attributes["disableApiStop"]["Value"], true, "{state:#}");
        assert_eq!(attributes["instanceInitiatedShutdownBehavior"]["Value"], "stop", "{state:#}");
        for mapping in state["instance"]["BlockDeviceMappings"].as_array().unwrap() {
            assert_eq!(mapping["Ebs"]["DeleteOnTermination"], false, "{mapping:#}");
        }
        assert_eq!(state["scaling"][0]["ProtectedFromScaleIn"], true, "{state:#}");
    }

    /// Each is on or off, and off is what undo brings: nothing else can be there.
    #[expect(clippy::unused_self, reason = "the others need it")]
    fn drifts(&self, _: &Target) -> Option<String> {
        None
    }
}

bed!(Mark for AwsMarkInstance);

impl Mark {
    const BALANCED: bool = false;
    const UNDO: &str = "ec2.delete_tags(Resources=[want], Tags=[{'Key': 'stanch:incident'}, {'Key': 'stanch:status'}])";

    fn seed() -> Value {
        json!({"tags": {"Name": "web-1", "stanch:status": "clean"}})
    }

    fn contained(state: &Value) {
        let tags = state["instance"]["Tags"].as_array().unwrap();
        let tag = |key: &str| tags.iter().find(|tag| tag["Key"] == key).map(|tag| tag["Value"].clone());
        assert_eq!(tag("stanch:status"), Some(json!("under-investigation")), "{tags:#?}");
        assert_eq!(tag("stanch:by"), Some(json!("analyst@example.com")));
        assert!(tag("stanch:incident").is_some_and(|value| value.as_str().unwrap().starts_with("inc-")));
        assert!(tag("stanch:since").is_some_and(|value| value.as_str().unwrap().ends_with('Z')));
        assert_eq!(tag("Name"), Some(json!("web-1")));
    }

    fn drifts(&self, target: &Target) -> Option<String> {
        self.0.on(target, "ec2.create_tags(Resources=[want], Tags=[{'Key': 'stanch:status', 'Value': 'lost'}])");
        Some("stanch:status".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_mark_instance() {
    Box::pin(contract(&Mark(Ec2::start()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_protect_instance() {
    Box::pin(contract(&Protect(Ec2::start()))).await;
}

bed!(RemovePublicIp for AwsRemovePublicIp);

impl RemovePublicIp {
    const BALANCED: bool = false;
    const UNDO: &str = "\
for eni in ec2.describe_network_interfaces(Filters=[{'Name': 'attachment.instance-id', 'Values': [want]}])['NetworkInterfaces']:
    free = [a for a in ec2.describe_addresses()['Addresses'] if not a.get('AssociationId')]
    if eni['Attachment']['DeviceIndex'] == 0 and free:
        ec2.associate_address(AllocationId=free[0]['AllocationId'], NetworkInterfaceId=eni['NetworkInterfaceId'])
";

    fn seed() -> Value {
        json!({"interfaces": [{"address": "elastic", "auto": true}, {"address": "elastic"}]})
    }

    fn contained(state: &Value) {
        for eni in state["interfaces"].as_array().unwrap() {
            assert!(eni.get("Association").is_none_or(|it| it.get("PublicIp").is_none()), "{eni:#}");
        }
        assert!(state["auto_assign"].as_object().unwrap().values().all(|on| on == false), "{state:#}");
    }

    fn drifts(&self, target: &Target) -> Option<String> {
        let taken = self.0.on(
            target,
            "\
other = ec2.create_network_interface(SubnetId=ec2.describe_instances(InstanceIds=[want])['Reservations'][0]['Instances'][0]
    ['SubnetId'])['NetworkInterface']['NetworkInterfaceId']
free = [a for a in ec2.describe_addresses()['Addresses'] if not a.get('AssociationId')]
ec2.associate_address(AllocationId=free[-1]['AllocationId'], NetworkInterfaceId=other)
print(json.dumps(free[-1]['AllocationId']))
",
        );
        taken.as_str().map(str::to_owned)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_remove_public_ip() {
    Box::pin(contract(&RemovePublicIp(Ec2::start()))).await;
}

bed!(Release for AwsReleaseInstance, |bed: &Release, target: &Target| {
    json!({"ec2": bed.0.state(target), "served": bed.0.served(target)})
});

impl Release {
    const BALANCED: bool = true;
    const UNDO: &str = "\
scaling.exit_standby(InstanceIds=[want], AutoScalingGroupName=
    scaling.describe_auto_scaling_instances(InstanceIds=[want])['AutoScalingInstances'][0]['AutoScalingGroupName'])
";

    fn seed() -> Value {
        json!({"group": {"min": 1, "max": 4, "desired": 2}})
    }

    fn contained(state: &Value) {
        assert_eq!(state["served"], json!([]), "nothing sends it traffic");
        assert_eq!(state["ec2"]["scaling"][0]["LifecycleState"], "Standby", "{state:#}");
        assert_eq!(state["ec2"]["sizes"][0]["DesiredCapacity"], 1, "{state:#}");
    }

    fn drifts(&self, target: &Target) -> Option<String> {
        self.0.on(
            target,
            "\
scaling.detach_instances(InstanceIds=[want], ShouldDecrementDesiredCapacity=False, AutoScalingGroupName=
    scaling.describe_auto_scaling_instances(InstanceIds=[want])['AutoScalingInstances'][0]['AutoScalingGroupName'])
",
        );
        Some("back into service".to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_release_instance() {
    Box::pin(contract(&Release(Ec2::start()))).await;
}
