//! The look-ups.

use aws_sdk_autoscaling::{
    Client,
    types::{InstanceRefreshStatus, StandbyInstances},
};
use serde::{Deserialize, Serialize};
use stanch_aws::{SdkConfig, classify};
use stanch_core::{Error, Kind, Result, names::InstanceId, target::Ec2Instance};

/// The tag that Auto Scaling sets on its members. Nobody else can: the prefix is AWS's.
pub(crate) const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// What can be looked up about a group. Nothing here writes.
#[derive(Clone, Debug)]
pub struct ScalingApi {
    pub(crate) client: Client,
}

/// An Auto Scaling group, as one of its members needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// It never has fewer.
    pub min: usize,
    /// It never has more.
    pub max: usize,
    /// How many it wants.
    pub desired: usize,
    /// How many members it has.
    pub size: usize,
    /// Where the member is in its life.
    pub lifecycle: Lifecycle,
    /// Scaling in does not end the member.
    pub protected: bool,
    /// The target groups that it registers its members with.
    pub target_groups: Vec<String>,
    /// The classic load balancers that it registers its members with.
    pub balancers: Vec<String>,
}

/// Where a member of a group is in its life (Amazon EC2 Auto Scaling User Guide: "Amazon EC2 Auto Scaling instance
/// lifecycle").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// It serves, or will in a moment.
    InService,
    /// It is a member and does not serve; the group leaves it alone.
    Standby,
    /// It is no member.
    Detached,
    /// It waits in the warm pool.
    Warm,
    /// The group ends it.
    Terminating,
}

impl Lifecycle {
    /// What the state means, and whether it is on its way there.
    pub(crate) fn read(state: &str) -> (Self, bool) {
        match state {
            "Standby" => (Self::Standby, false),
            "EnteringStandby" => (Self::Standby, true),
            "Detached" => (Self::Detached, false),
            "Detaching" => (Self::Detached, true),
            "InService" => (Self::InService, false),
            _ if state.starts_with("Terminat") => (Self::Terminating, true),
            _ if state.starts_with("Warmed") => (Self::Warm, false),
            _ => (Self::InService, true),
        }
    }
}

/// A member, as `DescribeAutoScalingInstances` shows it.
pub(crate) struct Member {
    pub(crate) group: String,
    pub(crate) state: String,
    pub(crate) protected: bool,
}

impl ScalingApi {
    pub(crate) fn connect(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }

    /// The group that has this instance as a member. One call, `autoscaling:DescribeAutoScalingGroups`; none where the
    /// instance does not carry the tag that Auto Scaling sets.
    ///
    /// # Errors
    /// Whatever Auto Scaling answers, classified.
    pub async fn group_of(&self, instance: &InstanceId, facts: &stanch_aws::Instance) -> Result<Option<Group>> {
        const OPERATION: &str = "autoscaling:DescribeAutoScalingGroups";
        let Some(name) = facts.tags.get(GROUP_TAG) else { return Ok(None) };
        let call = self.client.describe_auto_scaling_groups().auto_scaling_group_names(name);
        let answer = call.send().await.map_err(|error| classify(OPERATION, name.as_str(), error))?;
        let groups = answer.auto_scaling_groups();
        let Some(group) = groups.iter().find(|group| group.auto_scaling_group_name() == Some(name)) else {
            return Ok(None);
        };
        let Some(member) = group.instances().iter().find(|member| member.instance_id() == Some(instance.as_str()))
        else {
            return Ok(None);
        };
        let number = |number: Option<i32>| number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        let state = member.lifecycle_state().map(ToString::to_string).unwrap_or_default();
        Ok(Some(Group {
            name: name.clone(),
            min: number(group.min_size()),
            max: number(group.max_size()),
            desired: number(group.desired_capacity()),
            size: group.instances().len(),
            lifecycle: Lifecycle::read(&state).0,
            protected: member.protected_from_scale_in() == Some(true),
            target_groups: group.target_group_arns().to_vec(),
            balancers: group.load_balancer_names().to_vec(),
        }))
    }

    /// Whether an instance refresh is under way that terminates what is in standby. One call,
    /// `autoscaling:DescribeInstanceRefreshes`.
    ///
    /// # Errors
    /// Whatever Auto Scaling answers, classified.
    pub async fn refresh_ends_standby(&self, group: &str) -> Result<bool> {
        const OPERATION: &str = "autoscaling:DescribeInstanceRefreshes";
        let call = self.client.describe_instance_refreshes().auto_scaling_group_name(group);
        let answer = call.send().await.map_err(|error| classify(OPERATION, group, error))?;
        Ok(answer.instance_refreshes().iter().any(|refresh| {
            let under_way = matches!(
                refresh.status(),
                Some(
                    InstanceRefreshStatus::Pending
                        | InstanceRefreshStatus::InProgress
                        | InstanceRefreshStatus::Baking
                        | InstanceRefreshStatus::RollbackInProgress
                )
            );
            let standby = refresh.preferences().and_then(|preferences| preferences.standby_instances());
            under_way && standby == Some(&StandbyInstances::Terminate)
        }))
    }

    /// The instance as a member; none where it is in no group.
    pub(crate) async fn member(&self, instance: &InstanceId) -> Result<Option<Member>> {
        const OPERATION: &str = "autoscaling:DescribeAutoScalingInstances";
        let call = self.client.describe_auto_scaling_instances().instance_ids(instance.as_str());
        let answer = call.send().await.map_err(|error| classify(OPERATION, instance.as_str(), error))?;
        let found = answer.auto_scaling_instances().iter().find(|it| it.instance_id() == Some(instance.as_str()));
        Ok(found.map(|found| Member {
            group: found.auto_scaling_group_name().unwrap_or_default().to_owned(),
            state: found.lifecycle_state().unwrap_or_default().to_owned(),
            protected: found.protected_from_scale_in() == Some(true),
        }))
    }

    /// Whether an action is allowed. Auto Scaling has no dry run: what looks is tried, what writes is not.
    pub(crate) async fn attempt(&self, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        let on = target.id.as_str();
        Some(match action {
            "autoscaling:DescribeAutoScalingGroups" => {
                let answer = self.client.describe_auto_scaling_groups().max_records(1).send().await;
                answer.map(drop).map_err(|error| classify(action, on, error))
            }
            "autoscaling:DescribeAutoScalingInstances" => self.member(&target.id).await.map(drop),
            "autoscaling:DescribeInstanceRefreshes" => {
                self.refresh_ends_standby("stanch-check").await.map(drop).or_else(|error| match error.kind() {
                    // There is no such group; that it is said means that it may be asked.
                    Kind::Unsupported | Kind::NotFound => Ok(()),
                    _ => Err(error),
                })
            }
            _ if action.starts_with("autoscaling:") => Err(Error::new(
                Kind::Unsupported,
                action,
                "Auto Scaling offers no dry run; whether it is allowed shows when it is used",
            )),
            _ => return None,
        })
    }
}
