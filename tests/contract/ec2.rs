//! EC2 on moto, with the ledger in DynamoDB behind the same proxy: a kill at call N may hit either. What a bed needs
//! whatever its responder.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use stanch_aws::Aws;
use stanch_core::{Guard, Store, Target, target::Ec2Instance};
use stanch_dynamodb::Dynamo;
use stanch_range::{
    moto::{Moto, SeededInstance},
    proxy::{Dialect, Proxy},
};

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-central-1";

pub(crate) struct Ec2 {
    pub(crate) moto: Moto,
    pub(crate) proxy: Proxy,
    tables: AtomicUsize,
}

impl Ec2 {
    pub(crate) fn start() -> Self {
        let moto = Moto::start().expect("moto starts");
        let proxy = Proxy::start(&moto.url(), Dialect::Aws).expect("the proxy starts");
        Self { moto, proxy, tables: AtomicUsize::new(0) }
    }

    pub(crate) fn aws(&self) -> Aws {
        Aws::with(self.proxy.url(), REGION.parse().unwrap(), "range", "range")
    }

    pub(crate) fn empty_ledger(&self) -> Arc<dyn Store> {
        let table = format!("ledger-{}", self.tables.fetch_add(1, Ordering::SeqCst));
        // A trial begins with it: what the ones before have left would only be listed again and again.
        self.moto.reset().expect("moto forgets");
        self.moto.seed_table(&table).expect("a table");
        Arc::new(Dynamo::with(table, self.proxy.url(), REGION.parse().unwrap(), "range", "range"))
    }

    pub(crate) fn guard() -> Guard {
        Guard { accounts: Some(vec![ACCOUNT.parse().unwrap()]), ..Guard::default() }
    }

    pub(crate) fn seed(&self, wanted: &Value) -> SeededInstance {
        self.moto.seed_ec2(wanted).expect("an instance")
    }

    pub(crate) fn state(&self, target: &Target) -> Value {
        self.moto.describe_ec2(&id(target)).expect("the state is read")
    }

    /// Runs a script with `ec2`, `scaling` and `want` in scope.
    pub(crate) fn script(&self, body: &str, want: &Value) -> Value {
        let script = format!(
            "import boto3, json, os\nec2, scaling = boto3.client('ec2'), boto3.client('autoscaling')\n\
             want = json.loads(os.environ['RANGE_INPUT'])\n{body}"
        );
        self.moto.python_with(&script, want).expect("the script runs")
    }

    /// The same with the target's id in `want`.
    pub(crate) fn on(&self, target: &Target, body: &str) -> Value {
        self.script(body, &json!(id(target)))
    }
}

pub(crate) fn target(seeded: &SeededInstance) -> Target {
    Ec2Instance { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap(), id: seeded.id.parse().unwrap() }
        .into()
}

pub(crate) fn id(target: &Target) -> String {
    target.to_string()
}

impl Ec2 {
    /// Makes its last interface a trunk, which carries a pod's; answers the branch.
    pub(crate) fn branch(&self, seeded: &SeededInstance) -> String {
        let made = self.script(
            "\
pod = ec2.create_network_interface(SubnetId=want['subnet'])['NetworkInterface']['NetworkInterfaceId']
ec2.associate_trunk_interface(BranchInterfaceId=pod, TrunkInterfaceId=want['trunk'])
print(json.dumps(pod))
",
            &json!({"subnet": seeded.subnet, "trunk": seeded.interfaces.last()}),
        );
        made.as_str().expect("an interface").to_owned()
    }

    /// Two target groups (one of the instance's group, one by hand) and a classic load balancer by hand.
    pub(crate) fn balance(&self, target: &Target) {
        self.on(
            target,
            "\
elb, elbv2 = boto3.client('elb'), boto3.client('elbv2')
instance = ec2.describe_instances(InstanceIds=[want])['Reservations'][0]['Instances'][0]
vpc = instance['VpcId']
name = want[-8:]
arns = [elbv2.create_target_group(Name=f'{kind}-{name}', Protocol='HTTP', Port=80, VpcId=vpc, TargetType=by)['TargetGroups'][0]
        ['TargetGroupArn'] for kind, by in (('own', 'instance'), ('hand', 'instance'), ('address', 'ip'), ('empty', 'instance'))]
members = scaling.describe_auto_scaling_instances(InstanceIds=[want])['AutoScalingInstances']
if members:
    scaling.attach_load_balancer_target_groups(
        AutoScalingGroupName=members[0]['AutoScalingGroupName'], TargetGroupARNs=[arns[0]])
elbv2.register_targets(TargetGroupArn=arns[1], Targets=[{'Id': want, 'Port': 8080}])
elbv2.register_targets(TargetGroupArn=arns[2], Targets=[{'Id': instance['PrivateIpAddress'], 'Port': 80}])
elb.create_load_balancer(LoadBalancerName=f'old-{name}', AvailabilityZones=['eu-central-1a'],
                         Listeners=[{'Protocol': 'http', 'LoadBalancerPort': 80, 'InstancePort': 80}])
elb.register_instances_with_load_balancer(LoadBalancerName=f'old-{name}', Instances=[{'InstanceId': want}])
",
        );
    }

    /// Where traffic goes to the instance.
    pub(crate) fn served(&self, target: &Target) -> Vec<String> {
        let found = self.on(
            target,
            "\
elb, elbv2 = boto3.client('elb'), boto3.client('elbv2')
instance = ec2.describe_instances(InstanceIds=[want])['Reservations'][0]['Instances'][0]
address, found = instance['PrivateIpAddress'], []
for group in elbv2.describe_target_groups()['TargetGroups']:
    if group['VpcId'] != instance['VpcId']:
        continue
    for health in elbv2.describe_target_health(TargetGroupArn=group['TargetGroupArn'])['TargetHealthDescriptions']:
        if health['Target']['Id'] in (want, address) and health['TargetHealth'].get('Reason') != 'Target.NotRegistered':
            found.append(f\"{group['TargetGroupName'].split('-')[0]}:{health['Target']['Port']}\")
for balancer in elb.describe_load_balancers()['LoadBalancerDescriptions']:
    if want in [member['InstanceId'] for member in balancer['Instances']]:
        found.append(balancer['LoadBalancerName'].split('-')[0])
print(json.dumps(sorted(found)))
",
        );
        serde_json::from_value(found).unwrap()
    }
}
