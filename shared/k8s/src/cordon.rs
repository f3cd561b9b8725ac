//! The changes that keep new pods away from a node, and the node where it is.

use stanch_core::{Change, Mark, Slot};

use crate::{Annotation, KubeState, Marks, NodeFacts, Taint, Unschedulable, marked};

/// The quarantine taint. A kubelet can set its own Node schedulable again; its taints it cannot change.
pub const QUARANTINE: (&str, &str) = ("stanch.dev/quarantine", "NoSchedule");

/// Cluster Autoscaler FAQ: "How can I prevent Cluster Autoscaler from scaling down a particular node?"; Karpenter:
/// "Disruption, Node-Level Controls".
const KEEP_NODE: [&str; 2] = ["cluster-autoscaler.kubernetes.io/scale-down-disabled", "karpenter.sh/do-not-disrupt"];

/// Cordon, quarantine taint, our marks, and the annotations that keep autoscalers from removing the node.
pub fn cordon<S>(facts: &NodeFacts, mark: &Mark) -> Vec<Change<S>>
where
    S: Slot<State = KubeState> + From<Unschedulable> + From<Taint> + From<Annotation> + From<Marks>,
{
    let node = || facts.object_ref();
    let (key, effect) = QUARANTINE;
    let taint = facts.taint(key, effect);

    let mut changes = vec![
        Change {
            slot: Unschedulable { node: node() }.into(),
            before: KubeState::flag(facts.unschedulable),
            after: KubeState::flag(true),
        },
        Change {
            slot: Taint { node: node(), key: key.to_owned(), effect: effect.to_owned() }.into(),
            before: KubeState::text(taint),
            // Whatever its value, it keeps pods away.
            after: KubeState::text(Some(taint.unwrap_or_default())),
        },
    ];
    changes.extend(marked(node(), &facts.annotations, mark));
    changes.extend(KEEP_NODE.map(|key| Change {
        slot: Annotation { object: node(), key: key.to_owned() }.into(),
        before: KubeState::text(facts.annotations.get(key).map(String::as_str)),
        after: KubeState::text(Some("true")),
    }));
    changes
}
