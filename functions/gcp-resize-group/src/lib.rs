//! Makes the managed instance group of a GCE instance larger.
//!
//! - **What**: sets the size of the group that manages the instance, or managed it until it was released (`group`).
//! - **When**: a suspect instance was taken out, or will be deleted, and its share of the work has to go somewhere.
//! - **Permissions**: [`Responder::NEEDS`].
//! - **Blast radius**: costs. New instances come from the group's template: fix that first, or the hole comes with
//!   them.
//! - **Undo**: none. A size below the present one is refused, as an order and as an undo: the group would choose itself
//!   which instance it deletes, perhaps the evidence.
//!
//! The metadata of an instance that is in no group may name any: it is not followed, and the order has to name the
//! group.
//!
//! Sources: Google Cloud "Mitigate security incidents" (GKE); Compute Engine `instanceGroupManagers.resize`.

use serde::Deserialize;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
    target::GceInstance,
};
use stanch_gcp::{GceApi, Gcp, GroupRef, MembershipSlot, MembershipState};

/// See the crate.
#[derive(Debug)]
pub struct GcpResizeGroup;

/// What it can be told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    size: Option<u64>,
    group: Option<String>,
}

impl Responder for GcpResizeGroup {
    const NAME: &'static str = "gcp-resize-group";
    const ABOUT: &'static str = "Makes a managed instance group larger";
    const UNDO: &'static str = "nothing: a group that is made smaller chooses itself which instance it deletes";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Gcp("compute.instances.get"),
            Permission::Gcp("compute.instanceGroupManagers.get"),
            Permission::Gcp("compute.instanceGroupManagers.list"),
        ],
        apply: &[
            Permission::Gcp("compute.instanceGroupManagers.update"),
            Permission::Gcp("compute.zoneOperations.get"),
            Permission::Gcp("compute.regionOperations.get"),
        ],
        revert: &[],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc { name: "size", form: "number, needed", about: "how many instances the group shall have" },
        OptionDoc {
            name: "group",
            form: "zones/Z/instanceGroupManagers/G or regions/R/…, the instance's",
            about: "the group, where the instance was released from it",
        },
    ];

    type Cloud = Gcp;
    type Target = GceInstance;
    type Options = Options;
    type Slot = MembershipSlot;

    async fn plan(api: &GceApi, scene: &Scene<'_, Self>) -> Result<Plan<MembershipSlot>> {
        let (target, facts) = (scene.target, scene.facts);
        let group = match &scene.options.group {
            Some(text) => {
                let whole = text.split('/').count() == 4;
                let group = GroupRef::parse(&target.project, text).filter(|_| whole);
                group.ok_or_else(|| {
                    let form =
                        "must be zones/ZONE/instanceGroupManagers/NAME or regions/REGION/instanceGroupManagers/NAME";
                    Error::invalid("options.group", form)
                })?
            }
            None => match api.group(target, facts).await? {
                Some(managed) => managed.group,
                None => {
                    return Err(Error::invalid("options.group", "must be given: the instance is in no managed group"));
                }
            },
        };
        let present = api.size(&group).await?;
        let Some(size) = scene.options.size else {
            return Err(Error::invalid(
                "options.size",
                format!("must be given: {} has {} now", group.name, present.target),
            ));
        };
        if size < present.target {
            let why = format!(
                "it has {} now, and a group that is made smaller chooses itself which instance it deletes, perhaps the \
                 evidence: delete the one that shall go with gcp-delete-instance",
                present.target
            );
            return Err(Error::refused(why).on(group.short()));
        }
        if present.autoscaled {
            let why = "an autoscaler decides its size: raise the autoscaler's minimum instead";
            return Err(Error::new(Kind::Unsupported, Self::NAME, why).on(group.short()));
        }
        let change = Change {
            slot: MembershipSlot::Size(group.clone()),
            before: MembershipState::Size(present.target),
            after: MembershipState::Size(size),
        };
        let more = size - present.target;
        let what =
            "new instances come from the group's template: an image or account that let the attacker in is theirs too";
        let see = format!(
            "gcloud compute instance-groups managed describe {} --project={} {}",
            group.name,
            target.project,
            group.flag()
        );
        Ok(Plan::empty()
            .over(usize::try_from(more).unwrap_or(usize::MAX))
            .then([change])
            .leaving([Remaining::new(what).next(see)]))
    }
}

#[cfg(test)]
mod tests;
