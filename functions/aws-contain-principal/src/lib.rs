//! Denies an IAM role or user what it may do, and closes the way back in.
//!
//! **When.** Credentials are stolen: GuardDuty accuses a key, a role or a user
//! (`UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration`, `…/AnomalousBehavior`), or a pod whose service account
//! has a role. An access key stands for its user, for who holds one key can have made another.
//!
//! **What.** For a **role**: an inline policy of ours denies everything to the sessions that were issued before it is
//! written (`deny: older`), or to all (`deny: all`). Sessions that are issued later are new ones, so first the ways back
//! in are closed that can be: IRSA by a Deny for the service account's subject in the trust policy, EKS Pod Identity by
//! removing the association. With `service_account` that is done for this one account only, and where it comes by Pod
//! Identity, its sessions are denied by their tags and everybody else's go on. Whoever else may assume the role is named,
//! with `new sessions possible`. For a **user**: every active access key is switched off, and our policy denies
//! everything. `detach_policies` takes the managed policies away as well.
//!
//! Refused: our own role or user, service-linked roles, roles of IAM Identity Center (`AWSReservedSSO_*`); break-glass
//! principals by the guard's `exempt` list. A policy that would not fit the quota (10,240 characters of inline policies
//! for a role, 2,048 for a user) is found before anything is done.
//!
//! **Permissions.** Looking: the principal, its policies and keys, the profiles that hold the role, Pod Identity
//! associations. Acting: `iam:PutRolePolicy`, `iam:UpdateAssumeRolePolicy`, `iam:PutUserPolicy`, `iam:UpdateAccessKey`,
//! `iam:Detach…Policy`, `eks:DeletePodIdentityAssociation`.
//!
//! **Blast radius.** Everything that works under the role or user.
//!
//! **Undo.** The trust policy as it was written, each key to its former state, the same policies attached, an equal Pod
//! Identity association (with another id), our policy deleted.
//!
//! Sources: IAM User Guide "Revoke IAM role temporary security credentials", "Disabling permissions for temporary
//! security credentials", "IAM and AWS STS quotas", "Service-linked roles"; Amazon EKS User Guide "IAM roles for service
//! accounts", "EKS Pod Identity"; EKS Best Practices "Incident response and forensics".

mod cloud;
mod options;
mod role;
mod user;

use stanch_aws_eks::PodIdentitySlot;
use stanch_aws_iam::{IamSlot, IamState, Inline, Policy, Principal, Who, policy_name};
use stanch_core::{
    Change, Either, OptionDoc, Permission, Permissions, Plan, Responder, Result, Scene, Trigger, target::IamPrincipal,
};

pub use self::{
    cloud::{Apis, AwsIdentity},
    options::{Deny, Options, ServiceAccountName},
};

/// Contains an IAM role or user.
pub struct AwsContainPrincipal;

/// Where it writes.
pub type Slot = Either<IamSlot, PodIdentitySlot>;

impl Responder for AwsContainPrincipal {
    const NAME: &'static str = "aws-contain-principal";
    const ABOUT: &'static str = "Denies an IAM role or user what it may do, and closes the way back in.";
    const UNDO: &'static str =
        "Trust policy, keys, attached policies and Pod Identity associations as they were; our policy deleted.";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Aws("eks:DescribePodIdentityAssociation"),
            Permission::Aws("eks:ListClusters"),
            Permission::Aws("eks:ListPodIdentityAssociations"),
            Permission::Aws("iam:GetAccessKeyLastUsed"),
            Permission::Aws("iam:GetRole"),
            Permission::Aws("iam:GetRolePolicy"),
            Permission::Aws("iam:GetUser"),
            Permission::Aws("iam:GetUserPolicy"),
            Permission::Aws("iam:ListAccessKeys"),
            Permission::Aws("iam:ListAttachedRolePolicies"),
            Permission::Aws("iam:ListAttachedUserPolicies"),
            Permission::Aws("iam:ListInstanceProfilesForRole"),
            Permission::Aws("iam:ListRolePolicies"),
            Permission::Aws("iam:ListUserPolicies"),
        ],
        apply: &[
            Permission::Aws("eks:DeletePodIdentityAssociation"),
            Permission::Aws("iam:DetachRolePolicy"),
            Permission::Aws("iam:DetachUserPolicy"),
            Permission::Aws("iam:PutRolePolicy"),
            Permission::Aws("iam:PutUserPolicy"),
            Permission::Aws("iam:UpdateAccessKey"),
            Permission::Aws("iam:UpdateAssumeRolePolicy"),
        ],
        revert: &[
            Permission::Aws("eks:CreatePodIdentityAssociation"),
            Permission::Aws("iam:AttachRolePolicy"),
            Permission::Aws("iam:AttachUserPolicy"),
            Permission::Aws("iam:DeleteRolePolicy"),
            Permission::Aws("iam:DeleteUserPolicy"),
            Permission::Aws("iam:PassRole"),
            Permission::Aws("iam:UpdateAccessKey"),
            Permission::Aws("iam:UpdateAssumeRolePolicy"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "deny",
            form: "older|all, older",
            about: "Deny a role's sessions that were issued before, or all, also those that are issued later. A user's \
                    are all denied.",
        },
        OptionDoc {
            name: "service_account",
            form: "namespace/name, none",
            about: "Close the way in for this Kubernetes service account only, instead of for every one that the role \
                    trusts.",
        },
        OptionDoc {
            name: "clusters",
            form: "[region/name], those of our region",
            about: "The EKS clusters whose Pod Identity associations are looked through.",
        },
        OptionDoc { name: "detach_policies", form: "bool, false", about: "Detach the managed policies as well." },
    ];

    type Cloud = AwsIdentity;
    type Target = IamPrincipal;
    type Options = Options;
    type Slot = Slot;

    async fn plan(api: &Apis, scene: &Scene<'_, Self>) -> Result<Plan<Slot>> {
        match &scene.facts.who {
            Who::Role(role) => role::plan(api, scene, role).await,
            Who::User(user) => user::plan(api, scene, user).await,
        }
    }
}

/// The change of our policy, once it is known that it fits.
async fn denied(
    api: &Apis,
    scene: &Scene<'_, AwsContainPrincipal>,
    present: Option<Policy>,
    wanted: Policy,
    bound: bool,
) -> Result<Change<Slot>> {
    let who = &scene.facts.who;
    if present.as_ref() != Some(&wanted) {
        api.0.room_for(who, &policy_name(scene.mark), &wanted).await?;
    }
    let state = |policy: Option<Policy>| IamState::InlinePolicy { policy };
    let slot = IamSlot::InlinePolicy(Inline::new(who.clone(), bound));
    Ok(Change { slot, before: state(present), after: state(Some(wanted)) }.one())
}

/// Our policy, as it is.
async fn present(api: &Apis, scene: &Scene<'_, AwsContainPrincipal>) -> Result<Option<Policy>> {
    if scene.fresh { Ok(None) } else { api.0.inline(&scene.facts.who, &policy_name(scene.mark)).await }
}

/// Each managed policy off, if that is wanted.
async fn detached(api: &Apis, facts: &Principal, wanted: bool) -> Result<Vec<Change<Slot>>> {
    if !wanted {
        return Ok(Vec::new());
    }
    let attached = api.0.attached(&facts.who).await?.into_iter().map(|policy| {
        Change {
            slot: IamSlot::AttachedPolicy { who: facts.who.clone(), policy },
            before: IamState::AttachedPolicy { attached: true },
            after: IamState::AttachedPolicy { attached: false },
        }
        .one()
    });
    Ok(attached.collect())
}

#[cfg(test)]
mod tests;
