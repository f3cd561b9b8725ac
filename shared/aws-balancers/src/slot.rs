//! Whether an instance is registered with a load balancer.
//!
//! Sources: Elastic Load Balancing API Reference (2015-12-01) "`DeregisterTargets`" (draining, 300 seconds by default),
//! "`RegisterTargets`"; (2012-06-01) "`DeregisterInstancesFromLoadBalancer`".

use std::time::Duration;

use aws_sdk_elasticloadbalancing::types::Instance;
use aws_sdk_elasticloadbalancingv2::types::{TargetDescription, TargetHealthStateEnum};
use serde::{Deserialize, Serialize};
use stanch_aws::{Reach, SdkConfig, classify, word};
use stanch_core::{
    Disruption, Mark, Recorded, Result, Seen, Slot,
    names::{AccountId, InstanceId, Region},
    target::Ec2Instance,
};

use crate::api::{BalancersApi, serves};

/// How long Elastic Load Balancing may not show what it has accepted.
const LAG: Duration = Duration::from_secs(30);

/// One place that can be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case")]
pub enum BalancerSlot {
    /// A target of a target group.
    Target(GroupTarget),
    /// A member of a classic load balancer.
    Classic(ClassicBalancer),
}

/// A target of a target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupTarget {
    /// The region of the target group.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The target group's ARN.
    pub group: String,
    /// An instance id, or an address.
    pub target: String,
    /// The port; one target group can have the same instance under several.
    pub port: i32,
}

/// A member of a classic load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassicBalancer {
    /// The region of the load balancer.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// Its name.
    pub balancer: String,
    /// The instance.
    pub instance: InstanceId,
}

/// What such a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalancerState {
    /// Traffic goes there.
    pub registered: bool,
}

impl GroupTarget {
    fn description(&self) -> TargetDescription {
        let target = TargetDescription::builder().id(&self.target);
        if self.port == 0 { target.build() } else { target.port(self.port).build() }
    }

    fn short(&self) -> &str {
        self.group.rsplit(":targetgroup/").next().unwrap_or(&self.group)
    }
}

impl Slot for BalancerSlot {
    type Api = BalancersApi;
    type State = BalancerState;
    type Token = ();

    async fn look(&self, api: &BalancersApi, _: &Mark) -> Result<Seen<Self>> {
        let (registered, settling) = match self {
            Self::Target(slot) => {
                let health = api.health(&slot.group, &[slot.description()]).await?;
                let draining = health.iter().filter_map(|it| it.target_health()?.state());
                let draining = draining.filter(|state| **state == TargetHealthStateEnum::Draining).count() > 0;
                (health.iter().any(serves), draining.then(|| format!("{} is draining", slot.target)))
            }
            Self::Classic(slot) => (api.holds(&slot.balancer, slot.instance.as_str()).await?, None),
        };
        Ok(Seen { state: BalancerState { registered }, token: (), ids: Vec::new(), settling })
    }

    async fn write(change: Recorded<'_, Self>, _: &Seen<Self>, api: &BalancersApi) -> Result<()> {
        change.slot().carry_out(change.to().registered, api).await
    }

    fn what(&self, to: &BalancerState) -> String {
        let verb = if to.registered { ("register", "with") } else { ("deregister", "from") };
        match self {
            Self::Target(slot) => format!("{} {} {} {}", verb.0, slot.target, verb.1, slot.short()),
            Self::Classic(slot) => {
                format!("{} {} {} the classic load balancer {}", verb.0, slot.instance, verb.1, slot.balancer)
            }
        }
    }

    fn command(&self, to: &BalancerState, _: &Mark) -> String {
        match self {
            Self::Target(slot) => format!(
                "aws elbv2 {}-targets --region {} --target-group-arn {} --targets {}",
                if to.registered { "register" } else { "deregister" },
                slot.region,
                word(&slot.group),
                word(&match slot.port {
                    0 => format!("Id={}", slot.target),
                    port => format!("Id={},Port={port}", slot.target),
                }),
            ),
            Self::Classic(slot) => format!(
                "aws elb {} --region {} --load-balancer-name {} --instances {}",
                if to.registered {
                    "register-instances-with-load-balancer"
                } else {
                    "deregister-instances-from-load-balancer"
                },
                slot.region,
                word(&slot.balancer),
                slot.instance
            ),
        }
    }

    fn disruption(&self) -> Disruption {
        Disruption::Service
    }

    fn lag(&self) -> Duration {
        LAG
    }

    /// What is registered already, or is not, stays so.
    fn repeatable(&self) -> bool {
        true
    }
}

impl BalancerSlot {
    /// What `write` does, apart from the proof that it is recorded.
    pub(crate) async fn carry_out(&self, register: bool, api: &BalancersApi) -> Result<()> {
        match self {
            Self::Target(slot) if register => {
                let call = api.v2.register_targets().target_group_arn(&slot.group).targets(slot.description());
                let on = slot.target.as_str();
                call.send().await.map(drop).map_err(|e| classify("elasticloadbalancing:RegisterTargets", on, e))
            }
            Self::Target(slot) => {
                let call = api.v2.deregister_targets().target_group_arn(&slot.group).targets(slot.description());
                let on = slot.target.as_str();
                call.send().await.map(drop).map_err(|e| classify("elasticloadbalancing:DeregisterTargets", on, e))
            }
            Self::Classic(slot) => {
                let (name, on) = (&slot.balancer, slot.instance.as_str());
                let member = Instance::builder().instance_id(on).build();
                if register {
                    const OPERATION: &str = "elasticloadbalancing:RegisterInstancesWithLoadBalancer";
                    let call = api.classic.register_instances_with_load_balancer().load_balancer_name(name);
                    call.instances(member).send().await.map(drop).map_err(|e| classify(OPERATION, on, e))
                } else {
                    const OPERATION: &str = "elasticloadbalancing:DeregisterInstancesFromLoadBalancer";
                    let call = api.classic.deregister_instances_from_load_balancer().load_balancer_name(name);
                    call.instances(member).send().await.map(drop).map_err(|e| classify(OPERATION, on, e))
                }
            }
        }
    }
}

impl Reach for BalancerSlot {
    fn connect(config: &SdkConfig, _: &Ec2Instance) -> BalancersApi {
        BalancersApi::connect(config)
    }

    async fn attempt(api: &BalancersApi, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        api.attempt(target, action).await
    }
}
