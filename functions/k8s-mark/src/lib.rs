//! Labels pods, or a node, as what they are: under investigation.
//!
//! **When**: first, or beside anything else. Other tools select by the label: `kubectl drain
//! --pod-selector='!quarantine'` goes around the pod, a capture tool or a dashboard finds it. It contains nothing.
//!
//! **Changes**, all at once: the labels of the option `labels` (by default `quarantine: "true"`, as Google's "Mitigate
//! security incidents" has it; the SOAR playbooks' is `status: compromised`), the annotations of `annotations`, and our
//! own `stanch.dev/incident`, `record`, `by`, `since`, unless another record's are there already. A workload, a service
//! account, an image: on each of its pods. A node: on the node itself.
//!
//! **Permissions**: to plan `get` and `list` of pods, `get nodes`, `get` and `list` of namespaces, `get serviceaccounts`,
//! and of the kinds of workloads that are named; `patch` of pods and nodes to apply and to revert.
//!
//! **Blast radius**: none, as long as nothing selects by the label. A label that the pod has already, with another value,
//! is overwritten: whatever selects the pod by it lets go of it, and the plan says so.
//!
//! **Undo**: each label and annotation to its own former value.

use std::collections::BTreeMap;

use serde::Deserialize;
use stanch_core::{
    Change, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Target, Trigger,
};
use stanch_k8s::{
    Annotation, Kube, KubeApi, KubeState, Label, MarkSlot, ObjectRef, PodsOf, checked_annotations, checked_labels,
    marked, next_order,
};

/// Labels what an alert names.
#[derive(Debug)]
pub struct K8sMark;

/// What it can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The labels to set.
    pub labels: BTreeMap<String, String>,
    /// The annotations to set.
    pub annotations: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { labels: [("quarantine".to_owned(), "true".to_owned())].into(), annotations: BTreeMap::new() }
    }
}

const fn on(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Permission {
    Permission::Kube { group, resource, verbs }
}

impl Responder for K8sMark {
    const NAME: &'static str = "k8s-mark";
    const ABOUT: &'static str = "Labels the pods or the node that an alert names, so that people and tools find them.";
    const UNDO: &'static str = "Every label and annotation gets its former value back.";
    const TRIGGER: Trigger = Trigger::Event;
    const GENTLE: bool = true;
    const NEEDS: Permissions = Permissions {
        plan: &[
            on("", "pods", &["get", "list"]),
            on("", "nodes", &["get"]),
            on("", "namespaces", &["get", "list"]),
            on("", "serviceaccounts", &["get"]),
            on("apps", "deployments", &["get"]),
            on("apps", "statefulsets", &["get"]),
            on("apps", "daemonsets", &["get"]),
            on("apps", "replicasets", &["get", "list"]),
            on("batch", "jobs", &["get", "list"]),
            on("batch", "cronjobs", &["get"]),
        ],
        apply: &[on("", "pods", &["patch"]), on("", "nodes", &["patch"])],
        revert: &[on("", "pods", &["patch"]), on("", "nodes", &["patch"])],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "labels",
            form: r#"map of text, default {"quarantine": "true"}"#,
            about: "the labels to set",
        },
        OptionDoc { name: "annotations", form: "map of text, default none", about: "the annotations to set" },
    ];

    type Cloud = Kube;
    type Target = PodsOf;
    type Options = Options;
    type Slot = MarkSlot;

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<MarkSlot>> {
        let Scene { facts, options, mark, .. } = scene;
        checked_labels("options.labels", &options.labels)?;
        checked_annotations("options.annotations", &options.annotations)?;
        let mut left = Vec::new();
        let (mut changes, mut objects) = (Vec::new(), 0);
        let mut add = |object: ObjectRef, labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>| {
            left.extend(overwritten(&object, labels, &options.labels, scene));
            changes.extend(entries(&object, labels, &options.labels, |object, key| Label { object, key }.into()));
            changes.extend(entries(&object, annotations, &options.annotations, |object, key| {
                Annotation { object, key }.into()
            }));
            changes.extend(marked(object, annotations, mark));
            objects += 1;
        };
        if let Some(node) = &facts.node {
            add(node.object_ref(), &node.labels, &node.annotations);
            left.push(Remaining::new("a mark keeps nothing away from the node").next(next_order(
                "k8s-cordon-node",
                &mark.incident,
                node.target().into(),
            )));
        } else {
            for pod in &facts.pods {
                add(pod.object_ref(), &pod.labels, &pod.annotations);
            }
            left.push(
                Remaining::new(format!("a mark stops nothing: {} pods go on running", facts.pods.len()))
                    .next(next_order("k8s-isolate-pod", &mark.incident, Target::from(scene.target.clone()))),
            );
            left.extend(api.outlook(facts, &mark.incident, Self::NAME).await);
        }
        Ok(Plan::empty().then(changes).over(objects).leaving(left))
    }
}

fn entries(
    object: &ObjectRef,
    present: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
    slot: impl Fn(ObjectRef, String) -> MarkSlot,
) -> Vec<Change<MarkSlot>> {
    wanted
        .iter()
        .map(|(key, value)| Change {
            slot: slot(object.clone(), key.clone()),
            before: KubeState::text(present.get(key).map(String::as_str)),
            after: KubeState::text(Some(value)),
        })
        .collect()
}

/// A label that meant something to somebody.
fn overwritten(
    object: &ObjectRef,
    present: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
    scene: &Scene<'_, K8sMark>,
) -> Vec<Remaining> {
    // On a repeat the value is our own.
    if !scene.fresh {
        return Vec::new();
    }
    let other = |(key, value): (&String, &String)| {
        let former = present.get(key).filter(|former| *former != value)?;
        let what = format!("{} had {key}={former}: what selects it by that lets go of it", object.name);
        Some(Remaining::new(what))
    };
    wanted.iter().filter_map(other).collect()
}
