//! Takes the service account off a GCE instance, or disables it.
//!
//! - **What**: `how: replace` (default) stops the instance, takes its service account off (or puts `replacement` on)
//!   and starts it again: the only way, for the account of a running instance cannot be changed. `how: disable` disables
//!   the account itself: immediate, and for everything that runs as it.
//! - **When**: the attacker reads tokens from the instance's metadata server, which no firewall filters.
//! - **Permissions**: [`Responder::NEEDS`]; `iam.serviceAccounts.actAs` to put an account on an instance.
//! - **Blast radius**: `replace` restarts the instance: memory and local SSDs are lost, so that it is refused before the
//!   disks are captured for this incident, and tokens made live up to an hour. `disable` is refused where other
//!   instances run as the account (the nodes of GKE share theirs: there `replace` or isolation is the lever).
//! - **Undo**: the former account and scopes on the instance, by another stop and start; or the account enabled, after
//!   an hour or with `revive_tokens`: enabling makes old tokens valid again.
//!
//! A member of a managed group is left alone unless `even_if_managed`: the group would make a new one when it stops.
//!
//! Sources: Compute Engine "Change the attached service account", "Stop or restart an instance"; IAM "Disable and
//! enable service accounts".

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Slot, Trigger,
    names::ServiceAccountEmail, target::GceInstance,
};
use stanch_gcp::{
    Captured, DiskKind, GceApi, Gcp, IdentitySlot, IdentityState, InstanceRef, PowerSlot, account::is_agent,
};

/// What tokens of a replacement are good for: everything that its roles allow (Compute Engine: "Service accounts,
/// best practices").
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// See the crate.
#[derive(Debug)]
pub struct GcpDetachServiceAccount;

/// What it can be told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    how: How,
    replacement: Option<ServiceAccountEmail>,
    discard_local_ssd: bool,
    even_if_managed: bool,
    revive_tokens: bool,
}

/// The two ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum How {
    #[default]
    Replace,
    Disable,
}

impl Responder for GcpDetachServiceAccount {
    const NAME: &'static str = "gcp-detach-service-account";
    const ABOUT: &'static str = "Takes the service account off a GCE instance, or disables it";
    const UNDO: &'static str = "the former account on the instance, by another restart; or the account enabled, not \
                                within an hour unless it may revive tokens";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Gcp("compute.instances.get"),
            Permission::Gcp("compute.instances.list"),
            Permission::Gcp("compute.instanceGroupManagers.get"),
            Permission::Gcp("compute.instanceGroupManagers.list"),
            Permission::Gcp("compute.disks.get"),
            Permission::Gcp("compute.snapshots.list"),
            Permission::Gcp("iam.serviceAccounts.get"),
        ],
        apply: &[
            Permission::Gcp("compute.instances.stop"),
            Permission::Gcp("compute.instances.setServiceAccount"),
            Permission::Gcp("compute.instances.start"),
            Permission::Gcp("compute.zoneOperations.get"),
            Permission::Gcp("iam.serviceAccounts.actAs"),
            Permission::Gcp("iam.serviceAccounts.disable"),
        ],
        revert: &[
            Permission::Gcp("compute.instances.stop"),
            Permission::Gcp("compute.instances.setServiceAccount"),
            Permission::Gcp("compute.instances.start"),
            Permission::Gcp("compute.zoneOperations.get"),
            Permission::Gcp("iam.serviceAccounts.actAs"),
            Permission::Gcp("iam.serviceAccounts.enable"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "how",
            form: "replace or disable, replace",
            about: "restart the instance without its account, or disable the account",
        },
        OptionDoc {
            name: "replacement",
            form: "e-mail address, none",
            about: "with replace: the account that the instance gets instead",
        },
        OptionDoc {
            name: "discard_local_ssd",
            form: "bool, false",
            about: "with replace: stop an instance whose local SSDs lose their content by it",
        },
        OptionDoc {
            name: "even_if_managed",
            form: "bool, false",
            about: "with replace: stop a member of a managed group, which the group may replace",
        },
        OptionDoc {
            name: "revive_tokens",
            form: "bool, false",
            about: "on revert: enable the account although tokens from before become valid again",
        },
    ];

    type Cloud = Gcp;
    type Target = GceInstance;
    type Options = Options;
    type Slot = IdentitySlot;

    fn equip(api: &GceApi, options: &Options) {
        api.lend_revive(options.revive_tokens);
    }

    async fn plan(api: &GceApi, scene: &Scene<'_, Self>) -> Result<Plan<IdentitySlot>> {
        let Some(present) = &scene.facts.service_account else {
            return Ok(Plan::empty().leaving([tokens(None, scene.target)]));
        };
        match scene.options.how {
            How::Replace => replace(api, scene, present).await,
            How::Disable => disable(api, scene, present).await,
        }
    }
}

/// Stop, change, start.
async fn replace(
    api: &GceApi,
    scene: &Scene<'_, GcpDetachServiceAccount>,
    present: &ServiceAccountEmail,
) -> Result<Plan<IdentitySlot>> {
    let Options { replacement, discard_local_ssd, even_if_managed, .. } = scene.options;
    let (target, facts) = (scene.target, scene.facts);
    let name = facts.name.as_str();
    if replacement.as_ref() == Some(present) {
        return Ok(Plan::empty().leaving([tokens(None, target)]));
    }
    let vm = InstanceRef::of(target, facts);
    let attached = IdentitySlot::Attached(vm.clone());
    // What was read before the ledger was may be old: nothing is stopped for a change that another run has made.
    let before = attached.look(api, scene.mark).await?.state;
    let scopes = if replacement.is_some() { vec![SCOPE.to_owned()] } else { Vec::new() };
    let after = IdentityState::Attached { account: replacement.clone(), scopes };
    if before == after {
        return Ok(Plan::empty().leaving([tokens(None, target)]));
    }
    let running = match facts.status.as_str() {
        "RUNNING" => true,
        "TERMINATED" => false,
        _ => {
            let why = "the instance is neither running nor stopped: wait until it is, or resume it";
            return Err(Error::new(Kind::Unsupported, GcpDetachServiceAccount::NAME, why).on(name));
        }
    };
    let mut remaining = Vec::new();
    let mut pool = None;
    if running {
        if let Some(managed) = api.group(target, facts).await? {
            if !even_if_managed {
                let why = format!(
                    "the managed group {} would make a new one when it stops, and the evidence would be lost: run {} \
                     first, or say even_if_managed",
                    managed.group.name,
                    order("gcp-release-instance", target, scene)
                );
                return Err(Error::refused(why).on(name));
            }
            pool = Some(managed.pool());
        }
        let ssd = facts.disks.iter().any(|disk| disk.disk == DiskKind::LocalSsd);
        if ssd && !discard_local_ssd {
            let why =
                "stopping it loses what is on its local SSDs: copy it from the inside, then say discard_local_ssd";
            return Err(Error::refused(why).on(name));
        }
        let captured = api.captured(&facts.disks, &scene.mark.incident).await?;
        let missing: Vec<_> =
            captured.iter().filter(|(_, how)| *how == Captured::No).map(|(disk, _)| disk.name.as_str()).collect();
        if captured.is_empty() || !missing.is_empty() {
            let what = if missing.is_empty() { "nothing of it".to_owned() } else { missing.join(", ") };
            let next = order("gcp-snapshot-disks", target, scene);
            let why =
                format!("stopping it loses its memory, and not captured for this incident: {what}; run {next} first");
            return Err(Error::refused(why).on(name));
        }
        remaining.push(Remaining::new("its memory is lost by the restart, and so is an ephemeral external address"));
    }
    let power = |stop: bool| Change {
        slot: IdentitySlot::Power(PowerSlot { vm: vm.clone(), stop, discard_local_ssd: *discard_local_ssd }),
        before: IdentityState::Power { running: stop },
        after: IdentityState::Power { running: !stop },
    };
    let change = Change { slot: attached, before, after };
    remaining.push(tokens(Some(present), target));
    let plan = Plan::empty().then(running.then(|| power(true))).then([change]).then(running.then(|| power(false)));
    let plan = match pool {
        Some((name, size)) => plan.of(name, size),
        None => plan,
    };
    Ok(plan.leaving(remaining))
}

/// The account itself.
async fn disable(
    api: &GceApi,
    scene: &Scene<'_, GcpDetachServiceAccount>,
    present: &ServiceAccountEmail,
) -> Result<Plan<IdentitySlot>> {
    let (target, email) = (scene.target, present);
    if api.is_own(email).await {
        return Err(Error::refused("it is the account that this runs as").on(email.as_str()));
    }
    if is_agent(email) {
        let why = "it is an agent of Google's own, which cannot be disabled";
        return Err(Error::new(Kind::Unsupported, GcpDetachServiceAccount::NAME, why).on(email.as_str()));
    }
    let own = format!("{}/{}", target.zone, scene.facts.name);
    let mut others = api.users(&target.project, email).await?;
    others.retain(|user| *user != own);
    if !others.is_empty() {
        let why = format!(
            "{} other instances run as it ({}{}): use how=replace or gcp-isolate-instance; or name the account itself: \
             gcp-contain-service-account apply --project {} --email {email}",
            others.len(),
            others.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", "),
            if others.len() > 5 { ", …" } else { "" },
            target.project,
        );
        return Err(Error::refused(why).on(email.as_str()));
    }
    let found = match api.account(&target.project, email).await {
        Err(error) if error.kind() == Kind::NotFound => {
            let why = "the account is of another project: contain it there, with gcp-contain-service-account";
            return Err(Error::new(Kind::Unsupported, GcpDetachServiceAccount::NAME, why).on(email.as_str()));
        }
        answer => answer?,
    };
    let change = Change {
        slot: IdentitySlot::Account(found.account),
        before: IdentityState::Account { disabled: found.disabled },
        after: IdentityState::Account { disabled: true },
    };
    let unseen =
        "what else uses the account is not seen and stops working too: other projects, Cloud Run, holders of keys";
    let keys = Remaining::new("its keys and who may speak as it are as they were").next(format!(
        "gcp-contain-service-account apply --incident {} --project {} --email {email} --set disable_keys=true --set \
         drop_bindings=true",
        scene.mark.incident, target.project
    ));
    Ok(Plan::empty().then([change]).leaving([Remaining::new(unseen), keys]))
}

/// What the attacker may have taken from the metadata server before.
fn tokens(present: Option<&ServiceAccountEmail>, target: &GceInstance) -> Remaining {
    let next = |email: &ServiceAccountEmail| {
        format!("gcp-contain-service-account apply --project {} --email {email}", target.project)
    };
    let mut left = Remaining::new("tokens that were made before live up to an hour");
    left.until = Timestamp::now().checked_add(SignedDuration::from_hours(1)).ok();
    match present {
        Some(email) => left.next(next(email)),
        None => left,
    }
}

/// The next order on the same instance, ready to paste.
fn order(responder: &str, target: &GceInstance, scene: &Scene<'_, GcpDetachServiceAccount>) -> String {
    format!(
        "`{responder} apply --incident {} --project {} --zone {} --name {} --id {}`",
        scene.mark.incident, target.project, target.zone, scene.facts.name, scene.facts.id
    )
}

#[cfg(test)]
mod tests;
