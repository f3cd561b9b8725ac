//! Finds the pods behind what an alert names, and what is behind the pods: node, cloud instance, service account.
//!
//! **When**: first. A GuardDuty finding names a service account, a scanner an image, a person a Deployment: what runs
//! there, where, and as whom decides what to contain. It is what the guides write as `kubectl get pods -A -o json | jq …`.
//!
//! **From**: a pod; a workload of any kind with a selector (a `CronJob` through its Jobs); a service account; an image by
//! name, tag or digest, in init and ephemeral containers too; a node. Pods that have ended are left out.
//!
//! **Finds**, for each pod: UID, phase, owner, node, the cloud instance behind the node (`spec.providerID`), service
//! account, and its images with the digests that run. The report holds them under `found`. It writes nothing.
//!
//! **Permissions**: `get` and `list` of pods and nodes, `get` of the namespace, the account and the kinds of workloads.
//! Of a custom resource: `get`, to be granted beside.
//!
//! **Cost**: lists are paged, 500 at a time; of each page only what is found is kept.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use serde::Deserialize;
use stanch_core::{
    Finding, IncidentId, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Target,
    Trigger, names::KubeName,
};
use stanch_k8s::{
    Container, ImageName, Kube, KubeApi, List, Locate, Machine, NoSlot, PodFacts, Resource, Role, next_order,
};

/// Finds the pods behind what an alert names.
#[derive(Debug)]
pub struct K8sLocate;

/// What it can be told.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How many pods a report holds.
    pub most: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { most: 10_000 }
    }
}

const fn on(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Permission {
    Permission::Kube { group, resource, verbs }
}

/// Nodes that are asked for one by one; beyond, a list is fewer calls.
const FEW: usize = 5;

impl Responder for K8sLocate {
    const NAME: &'static str = "k8s-locate";
    const ABOUT: &'static str =
        "Finds the pods behind what an alert names, with node, cloud instance and service account.";
    const UNDO: &'static str = "It reads only: there is nothing to undo.";
    const TRIGGER: Trigger = Trigger::Event;
    const GENTLE: bool = true;
    const NEEDS: Permissions = Permissions {
        plan: &[
            on("", "pods", &["get", "list"]),
            on("", "nodes", &["get", "list"]),
            on("", "namespaces", &["get"]),
            on("", "serviceaccounts", &["get"]),
            on("apps", "deployments", &["get"]),
            on("apps", "statefulsets", &["get"]),
            on("apps", "daemonsets", &["get"]),
            on("apps", "replicasets", &["get", "list"]),
            on("batch", "jobs", &["get", "list"]),
            on("batch", "cronjobs", &["get"]),
        ],
        apply: &[],
        revert: &[],
    };
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc { name: "most", form: "a number, default 10000", about: "how many pods a report holds" }];

    type Cloud = Kube;
    type Target = Locate;
    type Options = Options;
    type Slot = NoSlot;

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<NoSlot>> {
        let Scene { facts, options, mark, target, .. } = scene;
        let shown = facts.pods.get(..options.most).unwrap_or(&facts.pods);
        let names: BTreeSet<_> = shown.iter().filter_map(|pod| pod.node.clone()).collect();
        let nodes = Nodes::find(api, &names).await;
        let image = match target {
            Locate::Image(image) => Some(ImageName::read(image.image.as_str())),
            _ => None,
        };
        let mut found: Vec<_> = shown.iter().map(|pod| finding(pod, &nodes, image.as_ref())).collect();
        if let (Locate::Pod(_), [pod], [finding]) = (target, shown, found.as_mut_slice()) {
            let workload = api.workload_of(pod).await?;
            let name = |it: stanch_k8s::WorkloadFacts| format!("{} {}", it.object.resource.kind, it.object.name);
            finding.details.extend(workload.map(|it| ("workload".into(), name(it))));
        }
        let mut left = Vec::new();
        if facts.pods.is_empty() {
            left.push(Remaining::new("no pod that has not ended was found"));
        }
        if facts.pods.len() > shown.len() {
            left.push(Remaining::new(format!(
                "{} further pods were found: raise the option most",
                facts.pods.len() - shown.len()
            )));
        }
        left.extend(nodes.left(&mark.incident));
        if !facts.pods.is_empty() {
            left.push(
                Remaining::new(format!("{} pods on {} nodes go on running", facts.pods.len(), names.len()))
                    .next(next_order("k8s-isolate-pod", &mark.incident, Target::from((*target).clone()))),
            );
        }
        Ok(Plan::empty().finding(found).leaving(left))
    }
}

fn finding(pod: &PodFacts, nodes: &Nodes, image: Option<&ImageName>) -> Finding {
    let mut details: BTreeMap<_, _> = [
        ("uid".into(), pod.uid.to_string()),
        ("phase".into(), pod.phase.clone()),
        ("service-account".into(), pod.service_account.clone()),
        (
            "images".into(),
            pod.containers
                .iter()
                .filter(|it| image.is_none_or(|image| image.is_run_by(it)))
                .map(runs)
                .collect::<Vec<_>>()
                .join(" "),
        ),
    ]
    .into();
    if let Some(node) = &pod.node {
        details.insert("node".into(), node.to_string());
        details.extend(nodes.instances.get(node).map(|id| ("instance".into(), id.clone())));
    }
    details.extend(pod.owner.as_ref().map(|owner| ("owner".into(), format!("{} {}", owner.kind, owner.name))));
    Finding { target: pod.target().into(), details }
}

/// `init:setup=example.com/tools:2@sha256:…`
fn runs(container: &Container) -> String {
    let Container { name, image, image_id, role } = container;
    let role = match role {
        Role::Main => "",
        Role::Init => "init:",
        Role::Ephemeral => "ephemeral:",
    };
    let digest = image_id.as_deref().and_then(|id| id.rsplit_once('@')).map(|(_, digest)| digest);
    match digest.filter(|digest| !image.contains(*digest)) {
        Some(digest) => format!("{role}{name}={image}@{digest}"),
        None => format!("{role}{name}={image}"),
    }
}

/// The nodes of the pods.
#[derive(Default)]
struct Nodes {
    /// The cloud instance of each, as the node itself registered it.
    instances: BTreeMap<KubeName, String>,
    machines: BTreeMap<KubeName, Machine>,
    missing: Option<String>,
}

#[derive(Deserialize)]
struct RawNode {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
struct Meta {
    name: KubeName,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default, rename = "providerID")]
    provider_id: Option<String>,
}

impl Nodes {
    /// The pods are what was asked for: a right to read nodes that is missing is named, and no more.
    async fn find(api: &KubeApi, names: &BTreeSet<KubeName>) -> Self {
        let mut nodes = Self::default();
        if names.len() > FEW {
            let wanted = |node: RawNode| {
                let RawNode { metadata, spec } = node;
                let id = spec.provider_id.filter(|_| names.contains(&metadata.name))?;
                Some((metadata.name, id))
            };
            let list = List::of(Resource::nodes());
            let listed = api.list(&list, wanted);
            match listed.await {
                Ok(found) => nodes.instances = found.into_iter().collect(),
                Err(error) => nodes.missing = Some(error.to_string()),
            }
            return nodes;
        }
        for (name, found) in names.iter().zip(join_all(names.iter().map(|name| api.node(name))).await) {
            match found {
                Ok(node) => {
                    nodes.machines.extend(node.machine().map(|machine| (name.clone(), machine)));
                    nodes.instances.extend(node.provider_id.map(|id| (name.clone(), id)));
                }
                Err(error) => nodes.missing = Some(error.to_string()),
            }
        }
        nodes
    }

    fn left(&self, incident: &IncidentId) -> Vec<Remaining> {
        let machine = |(node, machine): (&KubeName, &Machine)| match machine {
            Machine::Known(responder, instance) => {
                Remaining::new(format!("the machine behind the node {node}, {instance}, is untouched"))
                    .next(next_order(responder, incident, instance.clone()))
            }
            Machine::Named(name) => Remaining::new(format!("the machine behind the node {node}, {name}, is untouched"))
                .next("aws-snapshot-volumes, with the account that owns it"),
        };
        let missing = self.missing.as_ref().map(|why| Remaining::new(format!("nodes are not known: {why}")));
        self.machines.iter().map(machine).chain(missing).collect()
    }
}
