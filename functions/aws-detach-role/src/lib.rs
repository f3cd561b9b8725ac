//! Detaches the instance profile of an EC2 instance, and denies the credentials that it has handed out.
//!
//! **When.** An instance is accused, and its role is what the attacker is after: credentials of the metadata service
//! used from elsewhere (`UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration`), or reconnaissance with them. After
//! the instance is out of its group and captured: what needs the role to work stops working.
//!
//! **What.** Ends the association of the profile, or replaces it with an isolation profile (which keeps Systems Manager
//! for the analyst). That alone leaves the sessions that are out, for up to six hours, so an inline policy of ours on
//! the role denies everything: to this instance's sessions (`sessions: instance`, by the session name, which EC2 sets to
//! the instance's id), or to all that were issued before it is written (`sessions: all`, which takes every other
//! instance of the role down until its next refresh; on a node role, nodes go `NotReady`). The time of the latter is
//! set when its stage begins, after the profile is off, and is in the ledger before the call.
//!
//! **Permissions.** Looking: the instance, its group, its association, the profile and the role's inline policies.
//! Acting: `ec2:DisassociateIamInstanceProfile` (or `ReplaceIamInstanceProfileAssociation` with `iam:PassRole` on the
//! isolation role), `iam:PutRolePolicy`, `ec2:ModifyInstanceMetadataOptions` with `disable_imds`.
//!
//! **Blast radius.** The instance loses its role; with `sessions: all`, every session of the role.
//!
//! **Undo.** The former profile again, our policy deleted, the metadata service as it was.
//!
//! Sources: EC2 User Guide "Replace the instance profile for an EC2 instance", "IAM roles for Amazon EC2"; IAM User
//! Guide "Disabling permissions for temporary security credentials", "Revoke IAM role temporary security credentials",
//! "IAM and AWS STS quotas"; GuardDuty User Guide "Remediating a potentially compromised Amazon EC2 instance".

use futures::future::try_join;
use serde::Deserialize;
use stanch_aws::{Ec2Api, ProfileSlot, ProfileState, name_of};
use stanch_aws_iam::{IamApi, IamSlot, IamState, Inline, InstanceProfile, Policy, Who, deny, is_caller, policy_name};
use stanch_aws_scaling::{Grouped, InGroup};
use stanch_core::{
    Change, Either, Error, Kind, Known, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene,
    Trigger, names::IamName, target::Ec2Instance,
};

/// Detaches the role of an EC2 instance.
pub struct AwsDetachRole;

/// Where it writes.
pub type Slot = Either<ProfileSlot, IamSlot>;

/// What it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Whose sessions are denied.
    pub sessions: Sessions,
    /// The instance profile to attach in place of the former one.
    pub isolation_profile: Option<IamName>,
    /// Switch the metadata service off as well.
    pub disable_imds: bool,
    /// The role, where the profile is off already and no longer tells.
    pub role: Option<IamName>,
    /// Go on while the instance is in service in an Auto Scaling group.
    pub even_if_managed: bool,
}

/// Whose sessions are denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sessions {
    /// Those of the accused instance.
    #[default]
    Instance,
    /// All that the role has issued so far, to whomever.
    All,
}

impl Responder for AwsDetachRole {
    const NAME: &'static str = "aws-detach-role";
    const ABOUT: &'static str =
        "Detaches the instance profile of an EC2 instance and denies the sessions that it has handed out.";
    const UNDO: &'static str =
        "The former profile is attached again, our policy deleted, the metadata service set back.";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Aws("ec2:DescribeInstances"),
            Permission::Aws("autoscaling:DescribeAutoScalingGroups"),
            Permission::Aws("ec2:DescribeIamInstanceProfileAssociations"),
            Permission::Aws("iam:GetInstanceProfile"),
            Permission::Aws("iam:GetRolePolicy"),
            Permission::Aws("iam:ListInstanceProfilesForRole"),
            Permission::Aws("iam:ListRolePolicies"),
        ],
        apply: &[
            Permission::Aws("ec2:DisassociateIamInstanceProfile"),
            Permission::Aws("ec2:ModifyInstanceMetadataOptions"),
            Permission::Aws("ec2:ReplaceIamInstanceProfileAssociation"),
            Permission::Aws("iam:PassRole"),
            Permission::Aws("iam:PutRolePolicy"),
        ],
        revert: &[
            Permission::Aws("ec2:AssociateIamInstanceProfile"),
            Permission::Aws("ec2:ModifyInstanceMetadataOptions"),
            Permission::Aws("ec2:ReplaceIamInstanceProfileAssociation"),
            Permission::Aws("iam:DeleteRolePolicy"),
            Permission::Aws("iam:PassRole"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "sessions",
            form: "instance|all, instance",
            about: "Deny this instance's sessions, or all that the role has issued so far, to whomever.",
        },
        OptionDoc {
            name: "isolation_profile",
            form: "name, none",
            about: "Attach this instance profile in place of the former one, e.g. one that allows Systems Manager only.",
        },
        OptionDoc { name: "disable_imds", form: "bool, false", about: "Switch the instance metadata service off." },
        OptionDoc {
            name: "role",
            form: "name, none",
            about: "The role whose sessions to deny, where the profile is off already and no longer tells.",
        },
        OptionDoc {
            name: "even_if_managed",
            form: "bool, false",
            about: "Go on while the instance is in service in an Auto Scaling group.",
        },
    ];

    type Cloud = InGroup<Slot>;
    type Target = Ec2Instance;
    type Options = Options;
    type Slot = Slot;

    async fn plan(api: &(Ec2Api, IamApi), scene: &Scene<'_, Self>) -> Result<Plan<Slot>> {
        draw(api, scene, &[]).await
    }

    async fn plan_knowing(api: &(Ec2Api, IamApi), scene: &Scene<'_, Self>, known: &Known<Slot>) -> Result<Plan<Slot>> {
        draw(api, scene, &known.recorded).await
    }
}

async fn draw(
    (ec2, iam): &(Ec2Api, IamApi),
    scene: &Scene<'_, AwsDetachRole>,
    recorded: &[Change<Slot>],
) -> Result<Plan<Slot>> {
    let Scene { target, options, facts, mark, fresh } = scene;
    let ((associated, caller), isolation) =
        try_join(try_join(ec2.profile(&target.id), iam.caller()), isolation(iam, options.isolation_profile.as_ref()))
            .await?;
    let wanted = isolation.as_ref().map(|profile| profile.arn.clone());
    let before = associated.map(|it| it.profile);
    let is_contained = before == wanted;

    let role = match before.as_ref().filter(|_| !is_contained) {
        Some(profile) => iam.instance_profile(name_of(profile)).await?.role,
        None => role_of(recorded).or_else(|| options.role.clone()),
    };
    let mut plan = Plan::empty();
    let mut first = vec![
        Change {
            slot: ProfileSlot::InstanceProfile { region: target.region.clone(), instance: target.id.clone() },
            before: ProfileState::InstanceProfile { profile: before },
            after: ProfileState::InstanceProfile { profile: wanted },
        }
        .one(),
    ];
    if options.disable_imds {
        first.push(
            Change {
                slot: ProfileSlot::MetadataEndpoint { region: target.region.clone(), instance: target.id.clone() },
                before: ProfileState::MetadataEndpoint { imds: facts.instance.imds },
                after: ProfileState::MetadataEndpoint { imds: false },
            }
            .one(),
        );
    }
    let mut left = Vec::new();
    let Some(role) = role else {
        left.push(
            Remaining::new("the sessions that a profile has handed out before are not denied: no role is known")
                .next(format!("{} --set role=ROLE", order("aws-detach-role", scene))),
        );
        return finish(plan.then(first), left, scene);
    };
    let who = Who::Role(role.clone());
    if is_caller(&target.account, &who, &caller) {
        return Err(Error::refused("it is the role that we act as: denying its sessions would end this very work")
            .on(who.to_string()));
    }
    if isolation.and_then(|profile| profile.role).as_ref() == Some(&role) {
        let message = "it has the same role as the profile that it replaces";
        return Err(Error::invalid("options.isolation_profile", message));
    }
    let policy = Deny { iam, who, sessions: options.sessions, is_contained, fresh: *fresh }.change(scene).await?;
    if options.sessions == Sessions::All {
        let users = users(ec2, iam, &role).await?;
        let others = users.iter().filter(|user| user.as_str() != target.id.as_str()).count();
        left.push(Remaining::new(format!(
            "every session of role/{role} ends, also those of {others} other instance(s) of this region that use it: \
             their credentials come back with their next refresh, and Kubernetes nodes are NotReady until then"
        )));
        // The time of the deny has to be later than the last session that the profile could hand out.
        plan = plan.over(users.len().max(1)).then(first).then([policy]);
    } else {
        first.push(policy);
        plan = plan.then(first);
    }
    left.push(
        Remaining::new(format!(
            "sessions of other roles that role/{role} was used to assume go on: they are sessions of those roles"
        ))
        .next(
            "aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=AssumeRole, then \
             aws-contain-principal for each"
                .to_owned(),
        ),
    );
    if options.sessions == Sessions::Instance {
        left.push(Remaining::new(format!("role/{role} goes on working for everybody else who may assume it")).next(
            format!(
                "aws-contain-principal apply --incident {} --account {} --role {role}",
                mark.incident, target.account
            ),
        ));
    }
    finish(plan, left, scene)
}

/// What refuses the whole, once it is known that there is something to do.
fn finish(plan: Plan<Slot>, left: Vec<Remaining>, scene: &Scene<'_, AwsDetachRole>) -> Result<Plan<Slot>> {
    let Grouped { instance, .. } = scene.facts;
    if !plan.is_idle() {
        if let Some(operator) = &instance.operator {
            let message = format!(
                "{operator} operates the instance and gives it its role; use the Kubernetes responders on its node \
                 (k8s-cordon-node, k8s-isolate-pod)"
            );
            return Err(Error::new(Kind::Unsupported, "plan", message).on(scene.target.id.as_str()));
        }
        scene.facts.refuse_in_service(scene.target, scene.options.even_if_managed)?;
    }
    Ok(plan.leaving(left))
}

async fn isolation(iam: &IamApi, name: Option<&IamName>) -> Result<Option<InstanceProfile>> {
    let Some(name) = name else { return Ok(None) };
    match iam.instance_profile(name.as_str()).await {
        Err(error) if error.kind() == Kind::NotFound => {
            Err(Error::invalid("options.isolation_profile", "there is no instance profile of that name"))
        }
        found => found.map(Some),
    }
}

/// The role that the record is about: once the profile is off, the instance does not tell any more.
fn role_of(recorded: &[Change<Slot>]) -> Option<IamName> {
    recorded.iter().find_map(|change| match &change.slot {
        Either::Other(IamSlot::InlinePolicy(Inline { who: Who::Role(role), .. })) => Some(role.clone()),
        _ => None,
    })
}

/// The instances of this region that get their credentials from the role.
async fn users(ec2: &Ec2Api, iam: &IamApi, role: &IamName) -> Result<Vec<String>> {
    let profiles: Vec<_> = iam.profiles_of(role).await?.into_iter().map(|profile| profile.arn).collect();
    ec2.profile_users(&profiles).await
}

/// The policy that denies sessions.
struct Deny<'a> {
    iam: &'a IamApi,
    who: Who,
    sessions: Sessions,
    /// The profile is off: what was denied then is all that there can be.
    is_contained: bool,
    fresh: bool,
}

impl Deny<'_> {
    async fn change(self, scene: &Scene<'_, AwsDetachRole>) -> Result<Change<Slot>> {
        let Self { iam, who, sessions, .. } = &self;
        let (mark, name) = (scene.mark, policy_name(scene.mark));
        let present = if self.fresh { None } else { iam.inline(who, &name).await? };
        let bound = present.as_ref().and_then(deny::bound_of).filter(|_| self.is_contained);
        let wanted = match (sessions, bound) {
            (Sessions::Instance, _) => deny::instance(&scene.target.id, mark),
            // The time that was set when it was written stays: moving it would end sessions that came after.
            (Sessions::All, Some(at)) => deny::older(at, mark),
            (Sessions::All, None) => deny::older(mark.opened, mark),
        };
        if present.as_ref() != Some(&wanted) {
            iam.room_for(who, &name, &wanted).await?;
        }
        let slot = IamSlot::InlinePolicy(Inline::new(who.clone(), *sessions == Sessions::All));
        let state = |policy: Option<Policy>| IamState::InlinePolicy { policy };
        Ok(Change { slot, before: state(present), after: state(Some(wanted)) }.other())
    }
}

fn order(responder: &str, scene: &Scene<'_, AwsDetachRole>) -> String {
    let Ec2Instance { account, region, id } = scene.target;
    let incident = &scene.mark.incident;
    format!("{responder} apply --incident {incident} --account {account} --region {region} --id {id}")
}

#[cfg(test)]
mod tests;
