//! Taking a pod out of service: without the labels that Services and its owner select it by.

use std::collections::BTreeSet;

use serde_json::Value;
use stanch_core::{Change, Remaining, Result};
use stanch_k8s::{
    Annotation, IsolationSlot, KubeApi, KubeState, Label, List, PodFacts, Resource, Selector, selector_of,
};

/// Where the labels are kept for a person to read; undo has them from the ledger.
const RELEASED: &str = "stanch.dev/released";

/// The changes that let every Service and the owner lose a pod, and what that means.
pub(crate) async fn changes(api: &KubeApi, pod: &PodFacts) -> Result<(Vec<Change<IsolationSlot>>, Vec<Remaining>)> {
    // On a repeat the labels are gone already, and the annotation says which.
    let gone: BTreeSet<String> = pod
        .annotations
        .get(RELEASED)
        .and_then(|text| serde_json::from_str::<std::collections::BTreeMap<String, String>>(text).ok())
        .map(|labels| labels.into_keys().collect())
        .unwrap_or_default();
    let services = Resource::new("", "v1", "services", "Service");
    let list = List::of(services).within(pod.namespace.as_str());
    let selecting = |service: Value| {
        let selector = service.pointer("/spec/selector").and_then(Selector::read)?;
        (!selector.is_everything() && selector.matches(&pod.labels)).then_some(selector)
    };
    let mut selectors = api.list(&list, selecting).await?;
    let mut left = Vec::new();
    let owner = api.workload_of(pod).await?;
    if let Some(owner) = &owner {
        selectors.extend(selector_of(&owner.value));
        let kind = owner.object.resource.kind.as_str();
        left.extend(match kind {
            "StatefulSet" => {
                Some("its StatefulSet cannot start a successor of the same name while the pod is there".to_owned())
            }
            "Job" | "CronJob" => Some(format!("its {kind} starts the work anew in another pod")),
            kind => Some(format!("its {kind} starts a successor, from the same template")),
        });
    }
    let keys: BTreeSet<String> = selectors.iter().flat_map(Selector::keys).map(str::to_owned).collect();
    let dropped: std::collections::BTreeMap<&str, &str> = pod
        .labels
        .iter()
        .filter(|(key, _)| keys.contains(*key))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let mut changes: Vec<_> = dropped
        .iter()
        .map(|(key, value)| Change {
            slot: Label { object: pod.object_ref(), key: (*key).to_owned() }.into(),
            before: KubeState::text(Some(value)),
            after: KubeState::absent(),
        })
        .collect();
    if !dropped.is_empty() && gone.is_empty() {
        changes.push(Change {
            slot: Annotation { object: pod.object_ref(), key: RELEASED.to_owned() }.into(),
            before: KubeState::text(pod.annotations.get(RELEASED).map(String::as_str)),
            after: KubeState::text(Some(&serde_json::to_string(&dropped).unwrap_or_default())),
        });
    }
    Ok((changes, left.into_iter().map(Remaining::new).collect()))
}
