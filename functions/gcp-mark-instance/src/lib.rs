//! Labels a GCE instance as under investigation.
//!
//! - **What**: the labels `stanch-incident`, `stanch-record`, `stanch-by` and `stanch-since`, and those of the option
//!   `labels` (`status=under-investigation` unless told otherwise). The other labels stay as they are.
//! - **When**: on any alert that names a VM, so that nobody deletes, patches or restarts it unknowingly.
//! - **Permissions**: [`Responder::NEEDS`].
//! - **Blast radius**: none, unless something selects by the labels that you choose. Software on the VM sees them only
//!   where it may read the instance.
//! - **Undo**: each label to its former value, or off.
//!
//! Source: Compute Engine "Organize resources using labels".

use serde::Deserialize;
use stanch_core::{
    Change, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Target, Trigger,
    target::GceInstance,
};
use stanch_gcp::{
    GceApi, Gcp, InstanceRef, Labels, LabelsSlot,
    labels::{MOST_LABELS, full},
    next_order,
};

/// See the crate.
#[derive(Debug)]
pub struct GcpMarkInstance;

/// What it can be told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    labels: Option<Labels>,
}

impl Responder for GcpMarkInstance {
    const NAME: &'static str = "gcp-mark-instance";
    const ABOUT: &'static str = "Labels a GCE instance as under investigation";
    const UNDO: &'static str = "each label to its former value";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions {
        plan: &[Permission::Gcp("compute.instances.get")],
        apply: &[Permission::Gcp("compute.instances.setLabels"), Permission::Gcp("compute.zoneOperations.get")],
        revert: &[Permission::Gcp("compute.instances.setLabels"), Permission::Gcp("compute.zoneOperations.get")],
    };
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc {
        name: "labels",
        form: "map from key to value, {status: under-investigation}",
        about: "further labels; lower-case letters, digits, - and _",
    }];
    const GENTLE: bool = true;

    type Cloud = Gcp;
    type Target = GceInstance;
    type Options = Options;
    type Slot = LabelsSlot;

    async fn plan(_api: &GceApi, scene: &Scene<'_, Self>) -> Result<Plan<LabelsSlot>> {
        let Scene { target, facts, mark, options, .. } = scene;
        let wanted = options.labels.clone().unwrap_or_else(Labels::usual).with_ours(mark);
        let instance = InstanceRef::of(target, facts);
        let slot = LabelsSlot { instance, keys: wanted.keys().cloned().collect() };
        let before = slot.of(&facts.labels);
        let more = before.values().filter(|value| value.is_none()).count();
        if facts.labels.len() + more > MOST_LABELS {
            return Err(full(&slot.instance));
        }
        let after = wanted.into_iter().map(|(key, value)| (key, Some(value))).collect();
        let next = next_order("gcp-protect-instance", &mark.incident, Target::from((*target).clone()));
        let left = Remaining::new("a label stops nobody").next(next);
        Ok(Plan::empty().then([Change { slot, before, after }]).leaving([left]))
    }
}

#[cfg(test)]
mod tests;
