//! Lets an analyst reach a quarantined GCE instance over SSH, from one other instance and nowhere else.
//!
//! - **What**: the analyst's public key in the metadata of the quarantined instance; a tag on the intermediate instance
//!   (the bastion); and, in the network that both are in, a rule that allows TCP 22 from that tag to the quarantine's tag,
//!   with priority 0, before the quarantine's deny.
//! - **When**: the instance is isolated and somebody has to look at it alive.
//! - **Permissions**: [`Responder::NEEDS`]; `actAs`, because whoever sets an instance's metadata can run what it wants
//!   there, as its service account.
//! - **Blast radius**: everything on the bastion reaches port 22 of every instance under the same quarantine tag. The
//!   attacker sees the key, and the connection.
//! - **Undo**: the key is removed; tag and rule go with their last user.
//!
//! The bastion must be there: none is made. A source tag stands for the *primary* interface of an instance, so the bastion
//! must have that one in a network of the target. With OS Login, keys in metadata count for nothing: refused, with what to
//! do instead.
//!
//! Sources: Google "Mitigating security incidents", Compute Engine "Add SSH keys to VMs", "Set up OS Login", API reference
//! `firewalls` (source tags).

use serde::Deserialize;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Slot, Target,
    Trigger,
    names::{GceName, Zone},
    target::GceInstance,
};
use stanch_gcp::{
    GceApi, GceFacts, Gcp, InstanceRef, NetworkRef, NetworkSlot, NetworkState, SshKey, SshKeySlot, TagSlot,
    bastion::{self, TAG},
    next_order,
    quarantine::QUARANTINE,
    tag::{MOST_TAGS, full},
};

/// The tag of Google's guide.
const GUIDE: &str = "quarantine";

/// See the crate.
#[derive(Debug)]
pub struct GcpAllowBastion;

/// What it can be told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    bastion: Option<GceName>,
    bastion_zone: Option<Zone>,
    public_key: Option<SshKey>,
    quarantine_tag: Option<GceName>,
}

impl Responder for GcpAllowBastion {
    const NAME: &'static str = "gcp-allow-bastion";
    const ABOUT: &'static str = "Lets an analyst reach a quarantined GCE instance over SSH from one other instance";
    const UNDO: &'static str = "the key is removed; tag and rule go with the last instance that uses them";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Gcp("compute.instances.get"),
            Permission::Gcp("compute.projects.get"),
            Permission::Gcp("compute.firewalls.get"),
        ],
        apply: &[
            Permission::Gcp("compute.instances.setTags"),
            Permission::Gcp("compute.instances.setMetadata"),
            Permission::Gcp("iam.serviceAccounts.actAs"),
            Permission::Gcp("compute.firewalls.create"),
            Permission::Gcp("compute.firewalls.update"),
            Permission::Gcp("compute.networks.updatePolicy"),
            Permission::Gcp("compute.globalOperations.get"),
            Permission::Gcp("compute.zoneOperations.get"),
        ],
        revert: &[
            Permission::Gcp("compute.instances.setTags"),
            Permission::Gcp("compute.instances.setMetadata"),
            Permission::Gcp("iam.serviceAccounts.actAs"),
            Permission::Gcp("compute.firewalls.delete"),
            Permission::Gcp("compute.networks.updatePolicy"),
            Permission::Gcp("compute.globalOperations.get"),
            Permission::Gcp("compute.zoneOperations.get"),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc { name: "bastion", form: "name of an instance, needed", about: "the intermediate instance" },
        OptionDoc { name: "bastion_zone", form: "zone, that of the target", about: "where the bastion is" },
        OptionDoc { name: "public_key", form: "USER:TYPE BASE64, needed", about: "the analyst's public key" },
        OptionDoc {
            name: "quarantine_tag",
            form: "network tag, found on the target",
            about: "the tag that the target is quarantined by, where it was not gcp-isolate-instance",
        },
    ];

    type Cloud = Gcp;
    type Target = GceInstance;
    type Options = Options;
    type Slot = NetworkSlot;

    async fn plan(api: &GceApi, scene: &Scene<'_, Self>) -> Result<Plan<NetworkSlot>> {
        let Scene { target, facts, mark, options, .. } = scene;
        let missing = |name| Error::invalid(name, "must be given");
        let key = options.public_key.clone().ok_or_else(|| missing("options.public_key"))?;
        let name = options.bastion.clone().ok_or_else(|| missing("options.bastion"))?;
        let quarantine = quarantine_tag(scene)?;
        let os_login_is_on = match facts.os_login {
            Some(on) => on,
            None => api.os_login(&target.project).await?,
        };
        if os_login_is_on {
            return Err(os_login(scene));
        }

        let zone = options.bastion_zone.clone().unwrap_or_else(|| target.zone.clone());
        let at = GceInstance { project: target.project.clone(), zone, name: Some(name), id: None };
        let there = api.instance(&at).await.map_err(|error| {
            if error.kind() == Kind::NotFound {
                let why = "the bastion does not exist, and none is made: name one with bastion and bastion_zone";
                return Error::new(Kind::NotFound, GcpAllowBastion::NAME, why).on(error.resource().to_owned());
            }
            error
        })?;
        if there.id == facts.id {
            return Err(Error::invalid("options.bastion", "must be another instance than the target"));
        }
        let (instance, bastion) = (InstanceRef::of(target, facts), InstanceRef::of(&at, &there));
        let network = meeting(facts, &there, scene)?;
        let tag: GceName = TAG.parse()?;
        let tagged = there.tags.iter().any(|one| *one == *tag.as_str());
        if !tagged && there.tags.len() >= MOST_TAGS {
            return Err(full(&bastion));
        }

        let (rule, wanted) = bastion::rule(network, &target.project, &quarantine)?;
        let rule = NetworkSlot::Firewall(rule);
        let key_slot = NetworkSlot::SshKey(SshKeySlot { instance, key: key.clone() });
        let (rule_before, key_before) = (rule.look(api, mark).await?.state, key_slot.look(api, mark).await?.state);
        let changes = [
            Change { slot: rule, before: rule_before, after: NetworkState::Rule(Some(Box::new(wanted))) },
            Change { slot: key_slot, before: key_before, after: NetworkState::Set(true) },
            Change {
                slot: NetworkSlot::Tag(TagSlot { instance: bastion.clone(), tag, shared: true, cuts: false }),
                before: NetworkState::Set(tagged),
                after: NetworkState::Set(true),
            },
        ];
        let ssh = format!("from {}: ssh {}@{}", bastion.name, key.user(), facts.name);
        let left = [
            Remaining::new("the attacker can read the key in the metadata, and see who logs in").next(ssh),
            Remaining::new(format!(
                "everything on {} reaches port 22 of whatever has the tag {quarantine}",
                bastion.name
            )),
        ];
        Ok(Plan::empty().then(changes).leaving(left))
    }
}

/// The tag that the target is quarantined by.
fn quarantine_tag(scene: &Scene<'_, GcpAllowBastion>) -> Result<GceName> {
    let Scene { target, facts, mark, options, .. } = scene;
    let wanted = options.quarantine_tag.as_ref().map(GceName::as_str);
    let is_one = |tag: &&String| match wanted {
        Some(wanted) => *tag == wanted,
        None => tag.starts_with(QUARANTINE) || *tag == GUIDE,
    };
    if let Some(tag) = facts.tags.iter().find(is_one) {
        return tag.parse();
    }
    let next = next_order("gcp-isolate-instance", &mark.incident, Target::from((*target).clone()));
    let why = format!("the instance is not quarantined, and needs no bastion; first: {next}");
    Err(Error::new(Kind::Unsupported, GcpAllowBastion::NAME, why).on(facts.name.to_string()))
}

/// The network in which the bastion's primary interface meets the target.
fn meeting<'a>(facts: &GceFacts, there: &'a GceFacts, scene: &Scene<'_, GcpAllowBastion>) -> Result<&'a NetworkRef> {
    let primary = there.nics.first().map(|nic| &nic.network);
    primary.filter(|network| facts.networks().contains(network)).ok_or_else(|| {
        let why =
            "the bastion's primary interface is in no network of the instance: a source tag stands for that one only";
        Error::new(Kind::Unsupported, GcpAllowBastion::NAME, why).on(scene.facts.name.to_string())
    })
}

/// Where keys in metadata count for nothing.
fn os_login(scene: &Scene<'_, GcpAllowBastion>) -> Error {
    let GceInstance { project, zone, .. } = scene.target;
    let name = &scene.facts.name;
    let why = format!(
        "OS Login is on, and keys in metadata count for nothing. Instead: gcloud compute os-login ssh-keys add --key-file=KEY.pub; \
         gcloud compute instances add-iam-policy-binding {name} --project={project} --zone={zone} --member=user:ANALYST \
         --role=roles/compute.osAdminLogin; then the rule and the tag as this responder plans them for another instance"
    );
    Error::new(Kind::Unsupported, GcpAllowBastion::NAME, why).on(name.to_string())
}

#[cfg(test)]
mod tests;
