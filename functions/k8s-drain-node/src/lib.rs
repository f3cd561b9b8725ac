//! Moves everything that is not accused off a node: cordons it and evicts its pods.
//!
//! **When**: a node is compromised, or may be, and its other pods must not stay beside the attacker. After the accused
//! pods are isolated (they stay, as evidence) and memory and disks are captured; before the machine is cut off: a node
//! that does not reach its API server never confirms that a pod has ended.
//!
//! **Changes**: first those of `k8s-cordon-node`; if they fail, nothing is evicted. Then one eviction per pod, all at
//! once within a bound, each on the condition that the pod still has its UID. An eviction that a disruption budget
//! holds back is asked for again, after 1 to 5 seconds, or as the server says. Each is done when the pod is gone.
//!
//! **What stays**, as with `kubectl drain`: pods of a `DaemonSet`, mirrors of static pods; and besides, pods with the
//! label `quarantine` or `stanch.dev/isolate`, the accused pod, and our own. **What stops it before anything is done**:
//! pods with `emptyDir` data and pods without an owner, all of them named, unless the order allows them.
//!
//! **Permissions**: `get, list nodes`, `get, list pods`, `get namespaces`, `list poddisruptionbudgets` to plan;
//! `patch nodes`, `create pods/eviction`, `delete pods` (for `force_after` alone) to apply; `patch nodes` to revert.
//!
//! **Blast radius**: every service with a pod on the node, as far as its disruption budget allows. One drain per
//! cluster at a time, and no more than a tenth of a node pool.
//!
//! **Undo**: the node is given back as `k8s-cordon-node` does. Evicted pods do not come back; their owners have made
//! others. A node that somebody else had cordoned stays cordoned.
//!
//! Sources: Kubernetes, "Safely Drain a Node", "API-initiated Eviction", "Disruptions".

mod findings;

use serde::Deserialize;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Target,
    Trigger, target::NodeOrPod,
};
use stanch_k8s::{
    Budget, DrainSlot, How, Kube, KubeApi, KubeState, Lodger, MARKS, Machine, Marks, Removal, cordon, next_order,
};

use findings::{Stay, names, sort};

/// Evicts the pods of the node that an alert names.
#[derive(Debug)]
pub struct K8sDrainNode;

/// What it can be told.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Evict pods whose `emptyDir` data ends with them.
    pub allow_emptydir: bool,
    /// Evict pods that nobody makes again.
    pub allow_unmanaged: bool,
    /// How many seconds each pod gets to end.
    pub grace_period: Option<u32>,
    /// For how many seconds it is waited for each pod.
    pub timeout: Option<u32>,
    /// After how many seconds of refusals a pod is deleted all the same.
    pub force_after: Option<u32>,
    /// The most evictions a second.
    pub per_second: Option<u32>,
}

/// As long as a Lambda function may run; the host's own deadline comes first.
const TIMEOUT: u32 = 900;

const fn on(resource: &'static str, verbs: &'static [&'static str]) -> Permission {
    Permission::Kube { group: "", resource, verbs }
}

impl Responder for K8sDrainNode {
    const NAME: &'static str = "k8s-drain-node";
    const ABOUT: &'static str = "Cordons a node and evicts its pods, all but the quarantined ones.";
    const UNDO: &'static str =
        "The node takes pods again, unless it was cordoned before; evicted pods do not come back.";
    const TRIGGER: Trigger = Trigger::Order;
    const ALONE: bool = true;
    const NEEDS: Permissions = Permissions {
        plan: &[
            on("nodes", &["get", "list"]),
            on("pods", &["get", "list"]),
            on("namespaces", &["get"]),
            Permission::Kube { group: "policy", resource: "poddisruptionbudgets", verbs: &["list"] },
        ],
        apply: &[on("nodes", &["patch"]), on("pods/eviction", &["create"]), on("pods", &["delete"])],
        revert: &[on("nodes", &["patch"])],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "allow_emptydir",
            form: "true or false, default false",
            about: "evicts pods with emptyDir volumes; what is in them is lost",
        },
        OptionDoc {
            name: "allow_unmanaged",
            form: "true or false, default false",
            about: "evicts pods without an owner; nobody makes them again",
        },
        OptionDoc {
            name: "grace_period",
            form: "seconds, default the pod's own",
            about: "how long each pod gets to end",
        },
        OptionDoc { name: "timeout", form: "seconds, default 900", about: "how long it is waited for each pod" },
        OptionDoc {
            name: "force_after",
            form: "seconds, default never",
            about: "deletes a pod that disruption budgets have held back for so long",
        },
        OptionDoc {
            name: "per_second",
            form: "a number, default no limit",
            about: "the most evictions a second, for a small control plane",
        },
    ];

    type Cloud = Kube;
    type Target = NodeOrPod;
    type Options = Options;
    type Slot = DrainSlot;

    fn equip(api: &KubeApi, options: &Options) {
        api.limit_removals(options.per_second);
    }

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<DrainSlot>> {
        let Scene { facts, options, mark, .. } = scene;
        if let Some(what) = facts.is_virtual() {
            let message = format!("{what} has no other pods to move: use k8s-redeploy-pod or k8s-delete-workload");
            return Err(Error::new(Kind::Unsupported, "plan", message).on(format!("node/{}", facts.name)));
        }
        let (lodgers, budgets) = futures::join!(api.lodgers(&facts.name), api.budgets());
        let (lodgers, budgets) = (lodgers?, budgets?);
        let sorted = sort(lodgers, facts.pod.as_ref());
        findings::refuse(&sorted.leaving, **options)?;

        let mut cordoning = cordon(facts, mark);
        // Another record's marks say who cordoned it.
        let marked = facts.annotations.get(MARKS[1]).is_some_and(|record| record != mark.record.as_str());
        cordoning.retain(|change| !marked || !matches!(change.slot, DrainSlot::Marks(Marks { .. })));
        let evictions = sorted.leaving.iter().map(|lodger| eviction(lodger, scene));

        let mut plan = Plan::empty().then(cordoning).then(evictions).leaving(remaining(scene, &sorted, &budgets));
        if let Some((label, pool)) = facts.pool() {
            let size = api.count_nodes(&format!("{label}={pool}")).await?;
            plan = plan.of(format!("nodes/{label}={pool}"), size);
        }
        Ok(plan)
    }
}

fn eviction(lodger: &Lodger, scene: &Scene<'_, K8sDrainNode>) -> Change<DrainSlot> {
    let Scene { facts, options, .. } = scene;
    let successor = match &lodger.pod.owner {
        _ if lodger.pod.has_ended() => "it has ended".to_owned(),
        Some(owner) => format!("{} {} makes another one", owner.kind, owner.name),
        None => "nobody makes it again".to_owned(),
    };
    Change {
        slot: Removal {
            pod: lodger.pod.object_ref(),
            node: Some(facts.name.clone()),
            successor,
            how: How::Evict { force_after: options.force_after },
            grace: options.grace_period,
            within: options.timeout.unwrap_or(TIMEOUT),
        }
        .into(),
        before: KubeState::flag(true),
        after: KubeState::flag(false),
    }
}

fn remaining(scene: &Scene<'_, K8sDrainNode>, sorted: &findings::Sorted, budgets: &[Budget]) -> Vec<Remaining> {
    let Scene { facts, mark, options, .. } = scene;
    let order = |responder: &str, target: Target| next_order(responder, &mark.incident, target);
    let mut left = Vec::new();
    let ours = facts.annotations.get(MARKS[1]).is_some_and(|record| record == mark.record.as_str());
    if facts.unschedulable && !ours {
        left.push(Remaining::new("the node was cordoned before us: undo leaves it cordoned"));
    }
    for lodger in &sorted.leaving {
        let held: Vec<_> = budgets.iter().filter(|budget| budget.holds(lodger)).collect();
        let names: Vec<_> = held.iter().map(|budget| format!("{}/{}", budget.namespace, budget.name)).collect();
        let (pod, names) = (lodger.name(), names.join(" and "));
        let force = if options.force_after.is_some() { "" } else { "; force_after deletes it all the same" };
        match held.as_slice() {
            _ if lodger.pod.has_ended() => {}
            [_, _, ..] => left.push(Remaining::new(format!(
                "{pod} is selected by the disruption budgets {names}, and the eviction API takes one: remove one{force}"
            ))),
            [budget] if budget.allowed == 0 => left.push(Remaining::new(format!(
                "{pod} is held by the disruption budget {names}, which lets none go now; it is asked again{force}"
            ))),
            _ => {}
        }
    }
    for (why, pods) in &sorted.staying {
        let text = format!("{} stay on the node, {}: {}", pods.len(), why.words(), names(pods));
        left.push(match (why, pods.first()) {
            (Stay::Quarantined | Stay::Accused, Some(lodger)) => {
                Remaining::new(text).next(order("k8s-redeploy-pod", lodger.pod.target().into()))
            }
            _ => Remaining::new(text),
        });
    }
    match facts.machine() {
        Some(Machine::Known(_, instance)) => {
            let responder = match &instance {
                Target::Ec2Instance(_) => "aws-release-instance",
                _ => "gcp-release-instance",
            };
            left.push(
                Remaining::new(format!("the machine behind the node, {instance}, is untouched"))
                    .next(order(responder, instance)),
            );
        }
        Some(Machine::Named(name)) => left.push(
            Remaining::new(format!("the machine behind the node, {name}, is untouched"))
                .next("aws-release-instance, with the account that owns it"),
        ),
        None => {}
    }
    left
}
