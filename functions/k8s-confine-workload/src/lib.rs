//! Moves a workload to isolated nodes, or into a sandbox, until the fix is out.
//!
//! **When**: a workload is known to be vulnerable or was broken into, has to go on serving, and no fixed image is there
//! yet. New pods then start where a breakout meets less: on a node pool of their own, or under another runtime.
//!
//! **Changes**: the pod template, in one write, so that it rolls out once. `how: nodes`: the node selector of the option
//! `node_selector` (by default `example.com.node-restriction.kubernetes.io/type: isolator`, a label that a kubelet cannot
//! give itself) and tolerations for the taints that those nodes have. `how: runtime`: `runtimeClassName`. Both are added
//! to what the template has. Nothing is changed where no such node or class exists.
//!
//! **Permissions**: reads of the workload's kind, `list pods`, `list nodes`, `get runtimeclasses` to plan; `patch` of the
//! kind to apply and to revert.
//!
//! **Blast radius**: the workload is rolled out anew. The memory of its pods is lost: capture it before, isolate the
//! accused pod before. A `DaemonSet` keeps its pods on the isolated nodes only.
//!
//! **Undo**: the former template, exactly; it rolls out once more.
//!
//! Sources: Google "Mitigate security incidents" and "Isolate your workloads in dedicated node pools"; Kubernetes
//! "Assigning Pods to Nodes", "Runtime Class", "Admission Controllers, `NodeRestriction`".

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use stanch_core::{
    Change, Disruption, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene,
    Target, Trigger,
    names::{KubeName, Namespace},
};
use stanch_k8s::{
    Fields, Kube, KubeApi, KubeState, List, ObjectRef, Resource, TemplateSlot, WorkloadFacts, WorkloadOf,
    checked_node_labels, managed_by, next_order, rollout,
};

/// Confines a workload.
#[derive(Debug)]
pub struct K8sConfineWorkload;

/// What it can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// To nodes, or into a runtime.
    pub how: How,
    /// What the nodes are labelled with.
    pub node_selector: BTreeMap<String, String>,
    /// The runtime class.
    pub runtime_class: Option<KubeName>,
}

impl Default for Options {
    fn default() -> Self {
        let isolator = ("example.com.node-restriction.kubernetes.io/type".to_owned(), "isolator".to_owned());
        Self { how: How::Nodes, node_selector: [isolator].into(), runtime_class: None }
    }
}

/// To nodes, or into a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Nodes of their own.
    #[default]
    Nodes,
    /// Another container runtime.
    Runtime,
}

const fn on(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Permission {
    Permission::Kube { group, resource, verbs }
}

const PATCH: &[Permission] = &[
    on("apps", "deployments", &["patch"]),
    on("apps", "statefulsets", &["patch"]),
    on("apps", "daemonsets", &["patch"]),
    on("apps", "replicasets", &["patch"]),
    on("batch", "cronjobs", &["patch"]),
];

/// More names than a person reads.
const NAMED: usize = 10;

impl Responder for K8sConfineWorkload {
    const NAME: &'static str = "k8s-confine-workload";
    const ABOUT: &'static str = "Moves a workload to isolated nodes or into a sandbox, until the fix is out.";
    const UNDO: &'static str =
        "The pod template as it was, exactly; the memory of the pods that were replaced is gone.";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            on("", "pods", &["get", "list"]),
            on("", "namespaces", &["get"]),
            on("", "nodes", &["list"]),
            on("node.k8s.io", "runtimeclasses", &["get"]),
            on("apps", "deployments", &["get"]),
            on("apps", "statefulsets", &["get"]),
            on("apps", "daemonsets", &["get"]),
            on("apps", "replicasets", &["get", "list"]),
            on("batch", "jobs", &["get", "list"]),
            on("batch", "cronjobs", &["get"]),
        ],
        apply: PATCH,
        revert: PATCH,
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc { name: "how", form: "nodes or runtime, default nodes", about: "where new pods start" },
        OptionDoc {
            name: "node_selector",
            form: r#"map of text, default {"example.com.node-restriction.kubernetes.io/type": "isolator"}"#,
            about: "the labels of the isolated nodes",
        },
        OptionDoc {
            name: "runtime_class",
            form: "a name, for how: runtime",
            about: "the class of the sandbox, e.g. gvisor",
        },
    ];

    type Cloud = Kube;
    type Target = WorkloadOf;
    type Options = Options;
    type Slot = TemplateSlot;

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<TemplateSlot>> {
        let Scene { facts, options, mark, .. } = scene;
        let template = template(facts)?;
        let spec = facts.value.pointer(&template).and_then(Value::as_object).cloned().unwrap_or_default();
        let wanted = match options.how {
            How::Nodes => nodes(api, facts, &spec, options).await?,
            How::Runtime => runtime(api, &spec, options).await?,
        };
        let fields = Fields {
            object: facts.object.clone(),
            paths: wanted.keys().map(|field| format!("{template}/{field}")).collect(),
            about: match options.how {
                How::Nodes => "confine to isolated nodes the pods of".to_owned(),
                How::Runtime => "confine to a sandbox the pods of".to_owned(),
            },
            disruption: Disruption::Service,
        };
        let before = fields.state_in(&facts.value);
        let after = wanted.into_iter().map(|(field, value)| (format!("{template}/{field}"), value)).collect();
        let after = KubeState(Value::Object(after));
        let done = before == after;
        let left = left(api, facts, done, &mark.incident).await;
        Ok(Plan::empty().then([Change { slot: fields.into(), before, after }]).leaving(left))
    }
}

/// Where the pods' spec is in a workload.
fn template(facts: &WorkloadFacts) -> Result<String> {
    let unsupported = |message: &str| Error::new(Kind::Unsupported, "plan", message).on(name(facts));
    let path = match facts.object.resource.kind.as_str() {
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        // Kubernetes: "Jobs": the template of one that runs cannot be changed.
        "Job" => {
            return Err(unsupported(
                "the template of a Job cannot be changed: isolate its pods (k8s-isolate-pod), or delete it (k8s-delete-workload)",
            ));
        }
        _ => "/spec/template/spec",
    };
    match facts.value.pointer(path) {
        Some(spec) if spec.get("nodeName").is_some_and(Value::is_string) => {
            Err(unsupported("its template names a node, which goes before any selector: change that first"))
        }
        Some(_) => Ok(path.to_owned()),
        None => Err(unsupported("it has no pod template: confine what it makes its pods from")),
    }
}

fn name(facts: &WorkloadFacts) -> String {
    let ObjectRef { resource, namespace, name, .. } = &facts.object;
    let namespace = namespace.as_ref().map(Namespace::as_str).unwrap_or_default();
    format!("{}/{namespace}/{name}", resource.kind.to_lowercase())
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    spec: NodeSpec,
}

#[derive(Default, Deserialize)]
struct NodeSpec {
    #[serde(default)]
    taints: Vec<Taint>,
    #[serde(default)]
    unschedulable: bool,
}

#[derive(Clone, Deserialize)]
struct Taint {
    key: String,
    #[serde(default)]
    value: String,
    effect: String,
}

/// The node selector with ours, and what tolerates the taints of the nodes that it selects.
async fn nodes(
    api: &KubeApi,
    facts: &WorkloadFacts,
    spec: &Map<String, Value>,
    options: &Options,
) -> Result<BTreeMap<&'static str, Value>> {
    if options.runtime_class.is_some() {
        return Err(Error::invalid("options.runtime_class", "is for how: runtime"));
    }
    if options.node_selector.is_empty() {
        return Err(Error::invalid("options.node_selector", "must name a label: every node has none"));
    }
    checked_node_labels("options.node_selector", &options.node_selector)?;
    let labels: Vec<_> = options.node_selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let list = List { labels: labels.join(","), ..List::of(Resource::nodes()) };
    let found: Vec<Node> = api.list(&list, Some).await?;
    let Some(first) = found.iter().find(|node| !node.spec.unschedulable) else {
        let message = match found.len() {
            0 => format!("no node has {}: make the isolated node pool first", labels.join(", ")),
            some => format!("all {some} nodes with {} are cordoned", labels.join(", ")),
        };
        return Err(Error::new(Kind::Unsupported, "plan", message).on(name(facts)));
    };
    let mut selector = spec.get("nodeSelector").and_then(Value::as_object).cloned().unwrap_or_default();
    selector.extend(options.node_selector.iter().map(|(key, value)| (key.clone(), value.clone().into())));
    let mut tolerations = spec.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
    // What the node controller sets comes and goes by itself.
    for Taint { key, value, effect } in first.spec.taints.iter().filter(|it| !it.key.starts_with("node.kubernetes.io/"))
    {
        let mut toleration = json!({"key": key, "operator": "Exists", "effect": effect});
        if let (false, Some(fields)) = (value.is_empty(), toleration.as_object_mut()) {
            fields.insert("operator".to_owned(), "Equal".into());
            fields.insert("value".to_owned(), value.clone().into());
        }
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    let tolerations = if tolerations.is_empty() { Value::Null } else { tolerations.into() };
    Ok([("nodeSelector", Value::Object(selector)), ("tolerations", tolerations)].into())
}

async fn runtime(api: &KubeApi, spec: &Map<String, Value>, options: &Options) -> Result<BTreeMap<&'static str, Value>> {
    let Some(class) = &options.runtime_class else {
        return Err(Error::invalid("options.runtime_class", "must name a class for how: runtime"));
    };
    let object = ObjectRef {
        cluster: api.cluster().clone(),
        resource: Resource::new("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass"),
        namespace: None,
        name: class.clone(),
        uid: None,
    };
    if let Err(error) = api.get(&object).await {
        if error.kind() != Kind::NotFound {
            return Err(error);
        }
        let message = "no such RuntimeClass exists: install the sandbox first";
        return Err(Error::new(Kind::Unsupported, "plan", message).on(format!("runtimeclass/{class}")));
    }
    if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
        return Err(Error::new(Kind::Unsupported, "plan", "it uses its node's network, which no sandbox takes away"));
    }
    Ok([("runtimeClassName", class.as_str().into())].into())
}

async fn left(api: &KubeApi, facts: &WorkloadFacts, done: bool, incident: &stanch_core::IncidentId) -> Vec<Remaining> {
    let mut left = Vec::new();
    if let Some(tool) = managed_by(&facts.value) {
        left.push(Remaining::new(format!(
            "{tool} keeps this workload and may take the change back: make it in its repository too"
        )));
    }
    if let Some(owner) = &facts.owner {
        left.push(Remaining::new(format!(
            "{} {} controls this workload and may take the change back",
            owner.kind, owner.name
        )));
    }
    let kind = facts.object.resource.kind.as_str();
    let strategy = facts.value.pointer("/spec/updateStrategy/type").and_then(Value::as_str);
    if matches!(kind, "ReplicaSet" | "ReplicationController" | "CronJob") || strategy == Some("OnDelete") {
        left.push(
            Remaining::new("it replaces no pod by itself: pods that run stay where they are until they are deleted")
                .next(order("k8s-redeploy-pod", facts, incident)),
        );
    }
    left.extend(rollout(&facts.value).filter(|_| done).map(|what| Remaining::new(format!("not finished: {what}"))));
    match api.pods_of(facts).await {
        Ok(pods) => {
            for pod in pods.iter().filter(|_| !done).take(NAMED) {
                left.push(
                    Remaining::new(format!("the memory of {}/{} is lost as it is replaced", pod.namespace, pod.name))
                        .next(next_order("k8s-isolate-pod", incident, pod.target().into())),
                );
            }
            if !done && pods.len() > NAMED {
                left.push(Remaining::new(format!("and that of {} further pods", pods.len() - NAMED)));
            }
        }
        Err(error) => left.push(Remaining::new(format!("its pods are not listed: {error}"))),
    }
    left.push(Remaining::new("the image is as vulnerable as before: this lasts until the fix is out").next(order(
        "k8s-delete-workload",
        facts,
        incident,
    )));
    left
}

fn order(responder: &str, facts: &WorkloadFacts, incident: &stanch_core::IncidentId) -> String {
    facts.target().map_or_else(|_| responder.to_owned(), |target: Target| next_order(responder, incident, target))
}
