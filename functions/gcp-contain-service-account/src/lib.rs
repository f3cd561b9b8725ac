//! Disables a Google service account, its keys, or who may speak as it.
//!
//! - **What**: by default the account itself: its tokens are refused at once, those that exist too, and new ones are
//!   not made. With `drop_bindings` its Workload Identity bindings are taken away (Kubernetes workloads can no longer
//!   become it), with `disable_keys` every key that somebody made is disabled. Each is saved as it was.
//! - **When**: its tokens or keys are in an attacker's hands. `disable: false` with the two others closes the ways in
//!   of an account that must go on working on its instances.
//! - **Permissions**: [`Responder::NEEDS`].
//! - **Blast radius**: everything that runs as the account, project-wide and beyond. The plan names the instances; it
//!   cannot see other projects, Cloud Run, functions, or who holds a key.
//! - **Undo**: each to its former state. Within an hour of disabling, enabling makes the attacker's tokens valid again,
//!   so that it is refused unless the revert says `revive_tokens`.
//!
//! Sources: IAM "Disable and enable service accounts", "Disable and enable service account keys"; GKE "About Workload
//! Identity Federation for GKE"; REST reference `serviceAccounts.disable` and `.enable`.

use serde::Deserialize;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Slot, Trigger,
    target::GcpServiceAccount,
};
use stanch_gcp::{AccountFacts, Gcp, IamApi, IamSlot, IamState, account::is_agent};

/// See the crate.
#[derive(Debug)]
pub struct GcpContainServiceAccount;

/// What it can be told.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own, by its documented name")]
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    disable: bool,
    drop_bindings: bool,
    disable_keys: bool,
    revive_tokens: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { disable: true, drop_bindings: false, disable_keys: false, revive_tokens: false }
    }
}

impl Responder for GcpContainServiceAccount {
    const NAME: &'static str = "gcp-contain-service-account";
    const ABOUT: &'static str = "Disables a Google service account, its keys, or who may speak as it";
    const UNDO: &'static str = "account, bindings and keys to their former state; not within an hour, unless it may \
                                revive tokens";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Gcp("iam.serviceAccounts.get"),
            Permission::Gcp("iam.serviceAccounts.getIamPolicy"),
            Permission::Gcp("iam.serviceAccountKeys.list"),
            Permission::Gcp("iam.serviceAccountKeys.get"),
            Permission::Gcp("compute.instances.list"),
        ],
        apply: &[
            Permission::Gcp("iam.serviceAccounts.disable"),
            Permission::Gcp("iam.serviceAccounts.setIamPolicy"),
            Permission::Gcp("iam.serviceAccountKeys.disable"),
        ],
        revert: &[
            Permission::Gcp("iam.serviceAccounts.enable"),
            Permission::Gcp("iam.serviceAccounts.setIamPolicy"),
            Permission::Gcp("iam.serviceAccountKeys.enable"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc { name: "disable", form: "bool, true", about: "disable the account itself" },
        OptionDoc {
            name: "drop_bindings",
            form: "bool, false",
            about: "take its Workload Identity bindings away, so that no Kubernetes workload becomes it",
        },
        OptionDoc { name: "disable_keys", form: "bool, false", about: "disable every key that somebody made of it" },
        OptionDoc {
            name: "revive_tokens",
            form: "bool, false",
            about: "on revert: enable the account although tokens from before become valid again",
        },
    ];

    type Cloud = Gcp;
    type Target = GcpServiceAccount;
    type Options = Options;
    type Slot = IamSlot;

    fn equip(api: &IamApi, options: &Options) {
        api.lend_revive(options.revive_tokens);
    }

    async fn plan(api: &IamApi, scene: &Scene<'_, Self>) -> Result<Plan<IamSlot>> {
        let Options { disable, drop_bindings, disable_keys, .. } = *scene.options;
        let AccountFacts { account, .. } = scene.facts;
        if !(disable || drop_bindings || disable_keys) {
            return Err(Error::invalid("options.disable", "must be true where nothing else is asked for"));
        }
        if api.is_own(&account.email).await {
            return Err(Error::refused("it is the account that this runs as").on(account.email.as_str()));
        }
        if is_agent(&account.email) {
            let why = "it is an agent of Google's own, which cannot be disabled: contain who made it act";
            return Err(Error::new(Kind::Unsupported, Self::NAME, why).on(account.email.as_str()));
        }
        let users = api.users(&account.project, &account.email).await?;
        let speakers = api.speakers(account).await?;
        let keys = api.keys(account).await?;
        let live: Vec<_> = keys.iter().filter(|(_, disabled)| !disabled).map(|(id, _)| id).collect();

        let mut changes = Vec::new();
        if disable {
            let slot = IamSlot::Account(account.clone());
            // What was read before the ledger was may be old: another run may have contained it in between.
            let before = slot.look(api, scene.mark).await?.state;
            changes.push(Change { slot, before, after: IamState::Disabled(true) });
        }
        if drop_bindings {
            changes.push(Change {
                slot: IamSlot::Workloads(account.clone()),
                before: IamState::Bindings(speakers.workloads.clone()),
                after: IamState::Bindings(Vec::new()),
            });
        }
        if disable_keys {
            changes.extend(live.iter().map(|id| Change {
                slot: IamSlot::Key { account: account.clone(), id: (*id).clone() },
                before: IamState::Disabled(false),
                after: IamState::Disabled(true),
            }));
        }

        let mut remaining = Vec::new();
        if !users.is_empty() {
            let what = format!("{} of the project run as it: {}", instances(users.len()), short(&users));
            remaining.push(Remaining::new(what));
        }
        if disable {
            let what =
                "what else uses it is not seen and stops working too: other projects, Cloud Run, holders of keys";
            remaining.push(Remaining::new(what));
        } else {
            let what = "tokens that exist live up to an hour";
            remaining.push(Remaining::new(what).next(again(scene.target, r#""disable": true"#)));
            for (role, members) in &speakers.others {
                let what = format!("{} may still become it by {role}: {}", members.len(), short(members));
                remaining.push(Remaining::new(what).next(again(scene.target, r#""disable": true"#)));
            }
        }
        if !disable_keys && !live.is_empty() {
            let what = format!("{} of its keys are enabled", live.len());
            remaining.push(Remaining::new(what).next(again(scene.target, r#""disable_keys": true"#)));
        }
        let workloads = speakers.members();
        if !drop_bindings && !workloads.is_empty() {
            let what = format!("{} workloads may speak as it: {}", workloads.len(), short(&workloads));
            remaining.push(Remaining::new(what).next(again(scene.target, r#""drop_bindings": true"#)));
        }
        Ok(Plan::empty().over(users.len() + workloads.len() + 1).then(changes).leaving(remaining))
    }
}

/// The next order, ready to paste.
fn again(target: &GcpServiceAccount, option: &str) -> String {
    let GcpServiceAccount { project, email } = target;
    let set = option.replace('"', "").replace(": ", "=");
    format!("gcp-contain-service-account apply --project {project} --email {email} --set {set}")
}

fn instances(count: usize) -> String {
    if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") }
}

/// The first names of a list. Members come from a policy, which others write.
fn short(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let plain = |name: &String| name.chars().filter(|c| !c.is_control()).take(120).collect::<String>();
    let mut text = names.iter().take(SHOWN).map(plain).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests;
