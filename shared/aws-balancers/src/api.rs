//! The look-ups.

use aws_sdk_elasticloadbalancing as classic;
use aws_sdk_elasticloadbalancingv2::{
    self as v2,
    types::{TargetDescription, TargetHealthDescription, TargetHealthStateEnum, TargetTypeEnum},
};
use futures::{StreamExt, TryStreamExt, stream};
use stanch_aws::{SdkConfig, classify};
use stanch_core::{Error, Kind, Result, names::VpcId, target::Ec2Instance};

/// Target groups are asked so many at a time: a region has up to 3,000 (Elastic Load Balancing: "Quotas").
const AT_ONCE: usize = 8;
/// Pages of 400 and 100; this bounds what is read.
const PAGES: usize = 50;

/// What can be looked up about load balancers. Nothing here writes.
#[derive(Clone, Debug)]
pub struct BalancersApi {
    pub(crate) v2: v2::Client,
    pub(crate) classic: classic::Client,
}

/// Where an instance is registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Target groups: ARN, target (an instance id or an address), port.
    pub targets: Vec<(String, String, i32)>,
    /// Classic load balancers, by name.
    pub classic: Vec<String>,
}

impl BalancersApi {
    pub(crate) fn connect(config: &SdkConfig) -> Self {
        Self { v2: v2::Client::new(config), classic: classic::Client::new(config) }
    }

    /// Where an instance is registered, by its id or by one of these addresses. Calls:
    /// `elasticloadbalancing:DescribeTargetGroups` and `DescribeLoadBalancers` a page,
    /// `elasticloadbalancing:DescribeTargetHealth` for each target group of its VPCs.
    ///
    /// # Errors
    /// Whatever Elastic Load Balancing answers, classified.
    pub async fn registered(&self, instance: &str, vpcs: &[VpcId], addresses: &[String]) -> Result<Registered> {
        let (groups, classic) = futures::future::try_join(self.groups(vpcs), self.classic_with(instance)).await?;
        let found: Vec<Vec<(String, String, i32)>> = stream::iter(groups)
            .map(|(arn, by_address)| async move {
                let health = self.health(&arn, &[]).await?;
                let targets = health.iter().filter(|it| serves(it)).filter_map(|it| {
                    let target = it.target()?;
                    let id = target.id()?;
                    let ours = if by_address { addresses.iter().any(|address| address == id) } else { id == instance };
                    ours.then(|| (arn.clone(), id.to_owned(), target.port().unwrap_or(0)))
                });
                Ok::<_, Error>(targets.collect())
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut targets: Vec<_> = found.into_iter().flatten().collect();
        targets.sort();
        Ok(Registered { targets, classic })
    }

    /// The target groups that can hold an instance of these VPCs, and whether they hold addresses.
    async fn groups(&self, vpcs: &[VpcId]) -> Result<Vec<(String, bool)>> {
        const OPERATION: &str = "elasticloadbalancing:DescribeTargetGroups";
        let (mut groups, mut next) = (Vec::new(), None);
        for _ in 0..PAGES {
            let call = self.v2.describe_target_groups().set_marker(next);
            let page = call.send().await.map_err(|error| classify(OPERATION, "", error))?;
            for group in page.target_groups() {
                let near = group.vpc_id().is_some_and(|vpc| vpcs.iter().any(|ours| ours.as_str() == vpc));
                let by_address = match group.target_type() {
                    Some(TargetTypeEnum::Instance) => false,
                    Some(TargetTypeEnum::Ip) => true,
                    _ => continue,
                };
                if let (true, Some(arn)) = (near, group.target_group_arn()) {
                    groups.push((arn.to_owned(), by_address));
                }
            }
            match page.next_marker().filter(|marker| !marker.is_empty()) {
                Some(marker) => next = Some(marker.to_owned()),
                None => return Ok(groups),
            }
        }
        Err(Error::new(Kind::Conflict, OPERATION, format!("more than {PAGES} pages of target groups")))
    }

    async fn classic_with(&self, instance: &str) -> Result<Vec<String>> {
        const OPERATION: &str = "elasticloadbalancing:DescribeLoadBalancers";
        let (mut names, mut next) = (Vec::new(), None);
        for _ in 0..PAGES {
            let call = self.classic.describe_load_balancers().set_marker(next);
            let page = call.send().await.map_err(|error| classify(OPERATION, "", error))?;
            let holding = page
                .load_balancer_descriptions()
                .iter()
                .filter(|it| it.instances().iter().any(|member| member.instance_id() == Some(instance)));
            names.extend(holding.filter_map(|it| it.load_balancer_name().map(str::to_owned)));
            match page.next_marker().filter(|marker| !marker.is_empty()) {
                Some(marker) => next = Some(marker.to_owned()),
                None => return Ok(names),
            }
        }
        Err(Error::new(Kind::Conflict, OPERATION, format!("more than {PAGES} pages of load balancers")))
    }

    pub(crate) async fn health(
        &self,
        arn: &str,
        targets: &[TargetDescription],
    ) -> Result<Vec<TargetHealthDescription>> {
        let call = self.v2.describe_target_health().target_group_arn(arn);
        let call = call.set_targets((!targets.is_empty()).then(|| targets.to_vec()));
        let answer = call.send().await.map_err(|e| classify("elasticloadbalancing:DescribeTargetHealth", arn, e))?;
        Ok(answer.target_health_descriptions.unwrap_or_default())
    }

    /// Whether a classic load balancer has the instance.
    pub(crate) async fn holds(&self, balancer: &str, instance: &str) -> Result<bool> {
        let call = self.classic.describe_load_balancers().load_balancer_names(balancer);
        let answer = call.send().await;
        let answer = answer.map_err(|e| classify("elasticloadbalancing:DescribeLoadBalancers", balancer, e))?;
        let holds = |it: &classic::types::LoadBalancerDescription| {
            it.instances().iter().any(|member| member.instance_id() == Some(instance))
        };
        Ok(answer.load_balancer_descriptions().iter().any(holds))
    }

    /// Whether an action is allowed. There is no dry run: what looks is tried, what writes is not.
    pub(crate) async fn attempt(&self, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        Some(match action {
            "elasticloadbalancing:DescribeTargetGroups" => self.groups(&[]).await.map(drop),
            "elasticloadbalancing:DescribeLoadBalancers" => self.classic_with(target.id.as_str()).await.map(drop),
            _ if action.starts_with("elasticloadbalancing:") => Err(Error::new(
                Kind::Unsupported,
                action,
                "Elastic Load Balancing offers no dry run; whether it is allowed shows when it is used",
            )),
            _ => return None,
        })
    }
}

/// Whether traffic goes to it, or will.
pub(crate) fn serves(health: &TargetHealthDescription) -> bool {
    let state = health.target_health().and_then(|health| health.state());
    let reason = health.target_health().and_then(|health| health.reason());
    let unregistered = reason.is_some_and(|reason| reason.as_str() == "Target.NotRegistered");
    !unregistered && state != Some(&TargetHealthStateEnum::Draining)
}
