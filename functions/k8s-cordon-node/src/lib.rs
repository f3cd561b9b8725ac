//! Keeps new pods away from a node, and keeps the node.
//!
//! **When**: a detector names a node, or a pod whose node may be lost with it (a container escape, a stolen kubelet).
//! What runs goes on running: evidence and the attacker both stay where they are, nothing new joins them, and no
//! autoscaler takes the machine away meanwhile. Follow with `k8s-isolate-pod`, a snapshot, `k8s-drain-node`.
//!
//! **Changes**, all at once: `spec.unschedulable`; the taint `stanch.dev/quarantine:NoSchedule`; the annotations
//! `cluster-autoscaler.kubernetes.io/scale-down-disabled` and `karpenter.sh/do-not-disrupt`; our own
//! `stanch.dev/incident`, `record`, `by`, `since`. Cordon *and* taint, because whoever holds the kubelet's
//! credentials can set its own Node schedulable again, but the API server (admission plugin `NodeRestriction`) does
//! not let a kubelet change its taints. Both are looked at afterwards, and again on every repeat.
//!
//! **Permissions**: `get nodes, pods, namespaces`, `list pods` to plan; `patch nodes` to apply and to revert.
//!
//! **Blast radius**: the node takes no new pods, those of a `DaemonSet` included: the others must have room for them. With
//! `exclude_from_load_balancers` every external load balancer drops the node, for all Services.
//!
//! **Undo**: each field to its own former value. What somebody else had set before is not planned, so it stays:
//! a node that was cordoned already remains cordoned.

use serde::Deserialize;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
    target::NodeOrPod,
};
use stanch_k8s::{CordonSlot, Kube, KubeApi, KubeState, Label, Machine, NodeFacts, cordon, next_order};

/// Cordons and taints the node that an alert names.
#[derive(Debug)]
pub struct K8sCordonNode;

/// What it can be told.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Take the node out of external load balancers too.
    pub exclude_from_load_balancers: bool,
}

/// Kubernetes: "Well-Known Labels, Annotations and Taints". Its presence counts, whatever its value.
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

const fn on(resource: &'static str, verbs: &'static [&'static str]) -> Permission {
    Permission::Kube { group: "", resource, verbs }
}

impl Responder for K8sCordonNode {
    const NAME: &'static str = "k8s-cordon-node";
    const ABOUT: &'static str =
        "Cordons and taints the node that an alert names, and keeps autoscalers from removing it.";
    const UNDO: &'static str =
        "Every field gets its former value back; a node that was cordoned before stays cordoned.";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions {
        plan: &[on("nodes", &["get"]), on("pods", &["get", "list"]), on("namespaces", &["get"])],
        apply: &[on("nodes", &["patch"])],
        revert: &[on("nodes", &["patch"])],
    };
    const OPTIONS: &'static [OptionDoc] = &[OptionDoc {
        name: "exclude_from_load_balancers",
        form: "true or false, default false",
        about: "external load balancers drop the node, for every Service",
    }];

    type Cloud = Kube;
    type Target = NodeOrPod;
    type Options = Options;
    type Slot = CordonSlot;

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<CordonSlot>> {
        if let Some(what) = scene.facts.is_virtual() {
            let message = format!(
                "{what} takes no other pods, so a cordon contains nothing: use k8s-revoke-access, k8s-redeploy-pod \
                 or k8s-delete-workload on the pod, and aws-contain-principal on its role"
            );
            return Err(Error::new(Kind::Unsupported, "plan", message).on(format!("node/{}", scene.facts.name)));
        }
        Ok(Plan::empty().then(changes(scene)).leaving(remaining(api, scene).await))
    }
}

fn changes(scene: &Scene<'_, K8sCordonNode>) -> Vec<Change<CordonSlot>> {
    let Scene { facts, options, mark, .. } = scene;
    let mut changes = cordon(facts, mark);
    if options.exclude_from_load_balancers {
        let label = facts.labels.get(EXCLUDE).map(String::as_str);
        changes.push(Change {
            slot: Label { object: facts.object_ref(), key: EXCLUDE.to_owned() }.into(),
            before: KubeState::text(label),
            after: KubeState::text(Some(label.unwrap_or("true"))),
        });
    }
    changes
}

async fn remaining(api: &KubeApi, scene: &Scene<'_, K8sCordonNode>) -> Vec<Remaining> {
    let Scene { facts, mark, .. } = scene;
    let order = |responder: &str, target| next_order(responder, &mark.incident, target);
    let mut left = Vec::new();
    if facts.unschedulable && !is_ours(facts, scene) {
        left.push(Remaining::new("the node was cordoned before us, by somebody else: undo leaves it cordoned"));
    }
    if let Some(pod) = &facts.pod {
        left.push(
            Remaining::new(format!("the accused pod {}/{} goes on running", pod.namespace, pod.name))
                .next(order("k8s-isolate-pod", pod.clone().into())),
        );
    }
    // Containment does not wait for a count.
    left.push(match api.pods_on(&facts.name).await {
        Ok(pods) => {
            let kept = pods.iter().filter(|pod| matches!(pod.owner.as_deref(), Some("DaemonSet" | "Node"))).count();
            let what = format!(
                "{} pods go on running on the node, {kept} of them of DaemonSets or static; a pod that tolerates \
                 every taint, or names the node itself, can still join",
                pods.len()
            );
            Remaining::new(what).next(order("k8s-drain-node", target(facts)))
        }
        Err(error) => Remaining::new(format!("the pods on the node are not counted: {error}"))
            .next(order("k8s-drain-node", target(facts))),
    });
    match facts.machine() {
        Some(Machine::Known(responder, instance)) => left.push(
            Remaining::new(format!("the machine behind the node, {instance}, is untouched"))
                .next(order(responder, instance)),
        ),
        Some(Machine::Named(name)) => left.push(
            Remaining::new(format!("the machine behind the node, {name}, is untouched"))
                .next("aws-snapshot-volumes, with the account that owns it"),
        ),
        None => {}
    }
    left
}

fn target(facts: &NodeFacts) -> stanch_core::Target {
    facts.target().into()
}

/// A repeat of ours finds its own record on the node.
fn is_ours(facts: &NodeFacts, scene: &Scene<'_, K8sCordonNode>) -> bool {
    facts.annotations.get("stanch.dev/record").is_some_and(|record| record == scene.mark.record.as_str())
}
