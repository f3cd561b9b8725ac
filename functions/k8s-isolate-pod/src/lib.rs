//! Cuts all network traffic of exactly the accused pods, and lets them run.
//!
//! **When**: a detector names a pod that talks to somebody it should not, or that is not what it was. Memory, processes
//! and files stay for whoever captures them; nothing leaves and nothing comes in. Its node keeps its network.
//!
//! **Changes**, in this order: (1) our own policy, named after its rules, once per namespace, that denies both
//! directions for pods with the label `stanch.dev/isolate`; policies of others that select the pod and allow anything
//! get one expression more, by which they leave isolated pods alone (policies add up: any that allows wins); (2) the
//! label on the pod, and our annotations; (3) with `release_from_service`, the labels that Services and the owner select
//! by are taken off. A pod is isolated for as long as one incident wants it to be; policy and exclusions go with the last
//! isolated pod.
//!
//! **Engines**: `kubernetes` (`NetworkPolicy`), `admin` (`AdminNetworkPolicy` at priority 0 beside it), `cilium`
//! (`CiliumNetworkPolicy` with deny rules, which win over any allow), `calico` (`GlobalNetworkPolicy`, order -1000).
//! `auto` takes the one whose agent runs here. Where no agent is known that enforces policies, it refuses.
//!
//! **Refused**: pods on the host's network; AWS Fargate, where nothing is enforced; on the AWS VPC CNI pods without an
//! owner, and `release_from_service`, which makes one. An `AdminNetworkPolicy` that allows is a failure.
//!
//! **Permissions**: reads of pods, their owners, Services, policies and `DaemonSets` to plan; `create`, `update` and
//! `patch` of policies and `patch pods` to apply; `delete` and `patch` of policies, `patch pods` to revert.
//!
//! **Blast radius**: the accused pods. On the AWS VPC CNI, pods of the same owner on the same node may be cut too.
//!
//! **Undo**: everything, each label to its own former value.
//!
//! Sources: Kubernetes "Network Policies"; Network Policy API; Cilium "Deny Policies"; Calico "Global network policy";
//! Google "Mitigate security incidents"; Amazon EKS "Incident response and forensics".

mod engine;
mod others;
mod policy;
mod release;

use std::collections::BTreeMap;

use serde::Deserialize;
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
};
use stanch_k8s::{ISOLATE, IsolationSlot, Kube, KubeApi, KubeState, Label, Object, PodFacts, PodsOf, marked};

use engine::Engine;
use policy::Rules;

/// Isolates the pods that an alert names.
#[derive(Debug)]
pub struct K8sIsolatePod;

/// What it can be told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What denies.
    pub engine: Wanted,
    /// What becomes of the policies of others that allow.
    pub others: About,
    /// The cluster's DNS stays reachable.
    pub allow_dns: bool,
    /// These networks stay reachable, and may reach the pod: an analyst's.
    pub allow_cidr: Vec<String>,
    /// Services and the owner let go of the pod.
    pub release_from_service: bool,
    /// Something enforces policies, though it is not known here.
    pub assume_enforced: bool,
}

/// The engine that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// The one that is there.
    #[default]
    Auto,
    /// `NetworkPolicy`.
    Kubernetes,
    /// `AdminNetworkPolicy`.
    Admin,
    /// Calico.
    Calico,
    /// Cilium.
    Cilium,
}

/// What becomes of the policies of others that allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// They are told to leave isolated pods alone.
    #[default]
    Exclude,
    /// They are reported.
    Leave,
}

const fn on(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Permission {
    Permission::Kube { group, resource, verbs }
}

const KUBERNETES: &str = "networking.k8s.io";
const ADMIN: &str = "policy.networking.k8s.io";

impl Responder for K8sIsolatePod {
    const NAME: &'static str = "k8s-isolate-pod";
    const ABOUT: &'static str = "Denies all network traffic of exactly the accused pods, in both directions.";
    const UNDO: &'static str = "Labels, policies of others and our own policy: all as before.";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions {
        plan: &[
            on("", "pods", &["get", "list"]),
            on("", "nodes", &["get"]),
            on("", "namespaces", &["get", "list"]),
            on("", "serviceaccounts", &["get"]),
            on("", "services", &["list"]),
            on("apps", "deployments", &["get"]),
            on("apps", "statefulsets", &["get"]),
            on("apps", "daemonsets", &["get", "list"]),
            on("apps", "replicasets", &["get", "list"]),
            on("batch", "jobs", &["get", "list"]),
            on("batch", "cronjobs", &["get"]),
            on(KUBERNETES, "networkpolicies", &["get", "list"]),
            on(ADMIN, "adminnetworkpolicies", &["get", "list"]),
            on(ADMIN, "clusternetworkpolicies", &["list"]),
            on("cilium.io", "ciliumnetworkpolicies", &["get"]),
            on("projectcalico.org", "globalnetworkpolicies", &["get"]),
            on("crd.projectcalico.org", "globalnetworkpolicies", &["get"]),
        ],
        apply: &[
            on("", "pods", &["patch"]),
            on(KUBERNETES, "networkpolicies", &["create", "update", "patch"]),
            on(ADMIN, "adminnetworkpolicies", &["create", "update"]),
            on("cilium.io", "ciliumnetworkpolicies", &["create", "update"]),
            on("projectcalico.org", "globalnetworkpolicies", &["create", "update"]),
            on("crd.projectcalico.org", "globalnetworkpolicies", &["create", "update"]),
        ],
        revert: &[
            on("", "pods", &["patch"]),
            on(KUBERNETES, "networkpolicies", &["patch", "delete"]),
            on(ADMIN, "adminnetworkpolicies", &["delete"]),
            on("cilium.io", "ciliumnetworkpolicies", &["delete"]),
            on("projectcalico.org", "globalnetworkpolicies", &["delete"]),
            on("crd.projectcalico.org", "globalnetworkpolicies", &["delete"]),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "engine",
            form: "auto, kubernetes, admin, calico or cilium; default auto",
            about: "what denies",
        },
        OptionDoc {
            name: "others",
            form: "exclude or leave, default exclude",
            about: "whether policies of others that allow the pod's traffic are told to leave it alone, or only reported",
        },
        OptionDoc {
            name: "allow_dns",
            form: "true or false, default false",
            about: "the cluster's DNS stays reachable",
        },
        OptionDoc {
            name: "allow_cidr",
            form: "list of networks, default none",
            about: "networks that stay reachable and may reach the pod: an analyst's",
        },
        OptionDoc {
            name: "release_from_service",
            form: "true or false, default false",
            about: "takes off the labels that Services and the owner select the pod by: traffic and a successor go elsewhere",
        },
        OptionDoc {
            name: "assume_enforced",
            form: "true or false, default false",
            about: "something enforces network policies here that is not known to this responder",
        },
    ];

    type Cloud = Kube;
    type Target = PodsOf;
    type Options = Options;
    type Slot = IsolationSlot;

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<IsolationSlot>> {
        let Scene { facts, options, mark, .. } = scene;
        options.check()?;
        let engine = engine::choose(api, options).await?;
        let mut left = Vec::new();
        let mut pods: Vec<&PodFacts> = Vec::new();
        for pod in &facts.pods {
            match engine::unsuitable(pod, &engine, options) {
                None => pods.push(pod),
                Some(why) if facts.pods.len() == 1 => {
                    return Err(
                        Error::new(Kind::Unsupported, "plan", why).on(format!("pod/{}/{}", pod.namespace, pod.name))
                    );
                }
                Some(why) => {
                    left.push(Remaining::new(format!("pod {}/{} is not isolated: {why}", pod.namespace, pod.name)));
                }
            }
        }
        if pods.is_empty() {
            left.extend(api.outlook(facts, &mark.incident, Self::NAME).await);
            return Ok(Plan::empty().leaving(left));
        }
        let rules = Rules { engine: &engine, options, cluster: api.cluster() };
        let (policies, others_left) = policies(api, &pods, &rules).await?;
        left.extend(others_left);
        let (mut labels, mut released) = (Vec::new(), Vec::new());
        for &pod in &pods {
            labels.push(isolated(pod, &rules.id())?);
            labels.extend(marked(pod.object_ref(), &pod.annotations, mark));
            if options.release_from_service {
                let (changes, said) = release::changes(api, pod).await?;
                released.extend(changes);
                left.extend(said);
            }
        }
        left.extend(said(&engine, options));
        left.extend(api.outlook(facts, &mark.incident, Self::NAME).await);
        let objects = pods.len();
        Ok(Plan::empty().then(policies).then(labels).then(released).over(objects).leaving(left))
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        for (at, cidr) in self.allow_cidr.iter().enumerate() {
            let field = format!("options.allow_cidr[{at}]");
            let (address, length) =
                cidr.split_once('/').ok_or_else(|| Error::invalid(&field, "must be ADDRESS/LENGTH"))?;
            let most = match address.parse::<std::net::IpAddr>() {
                Ok(std::net::IpAddr::V4(_)) => 32,
                Ok(std::net::IpAddr::V6(_)) => 128,
                Err(_) => return Err(Error::invalid(field, "must be ADDRESS/LENGTH")),
            };
            match length.parse::<u8>() {
                // A length of 0 would allow everything again.
                Ok(length) if length > 0 && length <= most => {}
                _ => return Err(Error::invalid(field, format!("must have a length from 1 to {most}"))),
            }
        }
        Ok(())
    }
}

/// The first stage: our policy in each namespace, and what the others have to leave alone.
async fn policies(
    api: &KubeApi,
    pods: &[&PodFacts],
    rules: &Rules<'_>,
) -> Result<(Vec<Change<IsolationSlot>>, Vec<Remaining>)> {
    let mut by_namespace: BTreeMap<&str, Vec<&PodFacts>> = BTreeMap::new();
    for pod in pods {
        by_namespace.entry(pod.namespace.as_str()).or_default().push(pod);
    }
    let (mut changes, mut left) = (Vec::new(), Vec::new());
    for (namespace, pods) in &by_namespace {
        for object in rules.objects(namespace)? {
            let found = match api.get(&object.object).await {
                Ok(found) => Some(found),
                Err(error) if error.kind() == Kind::NotFound => None,
                Err(error) => return Err(error),
            };
            let before = object.state_in(found.as_ref());
            let change = Change { slot: object.into(), before, after: Object::present() };
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
        if rules.engine.adds_up() {
            let others = others::of_namespace(api, pods, rules.options.others == About::Exclude).await?;
            changes.extend(others.changes);
            left.extend(others.left);
        }
    }
    if let Engine::Kubernetes { .. } = rules.engine {
        let mut labels = BTreeMap::new();
        for (namespace, pods) in &by_namespace {
            if let Some(pod) = pods.first() {
                labels.insert((*namespace).to_owned(), api.namespace_labels(&pod.namespace).await?);
            }
        }
        others::above(api, pods, &labels).await?;
    }
    Ok((changes, left))
}

/// The second stage: the label that the policy selects.
fn isolated(pod: &PodFacts, id: &str) -> Result<Change<IsolationSlot>> {
    let present = pod.labels.get(ISOLATE).map(String::as_str);
    if present.is_some_and(|present| present != id) {
        let message = "it is isolated by other rules already: revert that first, or give the same options";
        return Err(Error::new(Kind::Conflict, "plan", message).on(format!("pod/{}/{}", pod.namespace, pod.name)));
    }
    Ok(Change {
        slot: Label { object: pod.object_ref(), key: ISOLATE.to_owned() }.into(),
        before: KubeState::text(present),
        after: KubeState::text(Some(id)),
    })
}

fn said(engine: &Engine, options: &Options) -> Vec<Remaining> {
    let mut left = vec![
        Remaining::new("flows that were open before may go on: that depends on the network plugin"),
        Remaining::new("the pod's own node can still reach it"),
    ];
    if *engine == (Engine::Kubernetes { vpc_cni: true }) {
        left.push(Remaining::new("on the AWS VPC CNI, pods of the same owner on the same node may be cut off as well"));
    }
    if options.allow_dns {
        left.push(Remaining::new("DNS stays open: names can carry data out"));
    }
    if !options.allow_cidr.is_empty() {
        left.push(Remaining::new(format!("traffic with {} stays open", options.allow_cidr.join(", "))));
    }
    left
}
