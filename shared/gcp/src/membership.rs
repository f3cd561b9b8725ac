//! An instance in its managed group, the size of the group, and whether the instance is there at all.
//!
//! None of it is undone: an abandoned instance cannot be taken back into its group, a group that is made smaller
//! chooses itself which instance it deletes, and a deleted instance does not come back.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanch_core::{Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot};

use crate::{
    api::GceApi,
    facts::InstanceRef,
    group::{GroupRef, Verb},
    power,
};

/// Abandoning and deleting wait for connections to drain (Compute Engine: `abandonInstances`: up to a minute after
/// the draining time).
const LAG: Duration = Duration::from_secs(90);

/// A place that taking an instance out of a group, or away, writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipSlot {
    /// Whether the group manages the instance.
    Member {
        /// The group.
        group: GroupRef,
        /// The instance.
        vm: InstanceRef,
    },
    /// How many instances the group wants.
    Size(GroupRef),
    /// Whether the instance exists.
    Exists {
        /// The instance.
        vm: InstanceRef,
        /// The group that manages it, and has to be told.
        group: Option<GroupRef>,
    },
}

/// What a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MembershipState {
    /// Whether it is a member.
    Member(bool),
    /// How many there shall be.
    Size(u64),
    /// Whether it is there.
    Exists(bool),
}

impl Slot for MembershipSlot {
    type Api = GceApi;
    type State = MembershipState;
    type Token = ();

    async fn look(&self, api: &GceApi, _mark: &Mark) -> Result<Seen<Self>> {
        let (state, settling) = match self {
            Self::Member { group, vm } => {
                let action = match api.action(group, &vm.id).await {
                    // The group is gone, and holds nothing.
                    Err(error) if error.kind() == Kind::NotFound => None,
                    answer => answer?,
                };
                let (member, settling) = leaving(action.as_deref(), "ABANDONING", "the group is letting it go");
                (MembershipState::Member(member), settling)
            }
            Self::Size(group) => (MembershipState::Size(api.size(group).await?.target), None),
            Self::Exists { vm, group } => {
                let (exists, settling) = exists(api, vm, group.as_ref()).await?;
                (MembershipState::Exists(exists), settling)
            }
        };
        Ok(Seen { state, token: (), ids: Vec::new(), settling })
    }

    async fn write(change: Recorded<'_, Self>, _seen: &Seen<Self>, api: &GceApi) -> Result<()> {
        match (change.slot(), change.to()) {
            (Self::Member { group, vm }, MembershipState::Member(false)) => api.tell(group, vm, Verb::Abandon).await,
            (Self::Size(group), MembershipState::Size(size)) => api.resize(group, *size).await,
            (Self::Exists { vm, group }, MembershipState::Exists(false)) => match group {
                // Deleted behind its back, the group would make a new one.
                Some(group) if api.action(group, &vm.id).await?.is_some() => api.tell(group, vm, Verb::Delete).await,
                _ => power::delete(api, vm).await,
            },
            _ => Err(Error::new(Kind::Refused, "gcp:write", "this cannot be undone")),
        }
    }

    fn what(&self, to: &MembershipState) -> String {
        match (self, to) {
            (Self::Member { group, vm }, _) => format!("take {} out of the group {}", vm.name, group.name),
            (Self::Size(group), MembershipState::Size(size)) => format!("resize the group {} to {size}", group.name),
            (Self::Size(group), _) => format!("resize the group {}", group.name),
            (Self::Exists { vm, .. }, _) => format!("delete {}", vm.name),
        }
    }

    fn command(&self, to: &MembershipState, _mark: &Mark) -> String {
        let managed = |verb: &str, group: &GroupRef, rest: &str| {
            let (name, project, place) = (&group.name, &group.project, group.flag());
            format!("gcloud compute instance-groups managed {verb} {name} --project={project} {place} {rest}")
        };
        let member = |vm: &InstanceRef| format!("--instances=zones/{}/instances/{}", vm.zone, vm.name);
        match (self, to) {
            (Self::Member { group, vm }, _) => managed("abandon-instances", group, &member(vm)),
            (Self::Size(group), MembershipState::Size(size)) => managed("resize", group, &format!("--size={size}")),
            (Self::Size(group), _) => managed("describe", group, "").trim_end().to_owned(),
            (Self::Exists { vm, group: Some(group) }, _) => managed("delete-instances", group, &member(vm)),
            (Self::Exists { vm, group: None }, _) => format!("gcloud compute instances delete {} --quiet", vm.words()),
        }
    }

    fn kept(&self) -> Option<&'static str> {
        Some(match self {
            Self::Member { .. } => "irreversible: an instance cannot be taken back into a managed group",
            Self::Size(_) => "irreversible: a group that is made smaller chooses itself which instance it deletes",
            Self::Exists { .. } => "irreversible: a deleted instance does not come back",
        })
    }

    fn visible_to_attacker(&self) -> bool {
        matches!(self, Self::Exists { .. })
    }

    fn disruption(&self) -> Disruption {
        match self {
            Self::Member { .. } => Disruption::Service,
            Self::Size(_) => Disruption::None,
            Self::Exists { .. } => Disruption::Node,
        }
    }

    /// Who is not a member is not abandoned again, a size is a size, and a number is never used twice.
    fn repeatable(&self) -> bool {
        true
    }

    fn lag(&self) -> Duration {
        match self {
            Self::Size(_) => Duration::from_secs(30),
            Self::Member { .. } | Self::Exists { .. } => LAG,
        }
    }
}

/// A member is one until the group has begun to let it go.
fn leaving(action: Option<&str>, verb: &str, says: &str) -> (bool, Option<String>) {
    match action {
        None => (false, None),
        Some(action) if action == verb || action == "DELETING" => (false, Some(says.to_owned())),
        Some(_) => (true, None),
    }
}

async fn exists(api: &GceApi, vm: &InstanceRef, group: Option<&GroupRef>) -> Result<(bool, Option<String>)> {
    match power::read(api, vm).await {
        Err(error) if error.kind() == Kind::NotFound => return Ok((false, None)),
        answer => drop(answer?),
    }
    let action = match group {
        Some(group) => match api.action(group, &vm.id).await {
            Err(error) if error.kind() == Kind::NotFound => None,
            answer => answer?,
        },
        None => None,
    };
    Ok(match action.as_deref() {
        Some("DELETING") => (false, Some("the group is deleting it".to_owned())),
        _ => (true, None),
    })
}
