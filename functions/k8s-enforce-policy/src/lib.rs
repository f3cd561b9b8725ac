//! Puts a policy on a namespace: nobody gets into its pods, no pod may be privileged, or no traffic by default.
//!
//! **When**: the ways in have to be shut for longer than one pod lives: an attacker who execs into whatever runs, a
//! stolen identity that starts pods of its own, a namespace whose pods reach everything.
//!
//! **Changes**, by the option `policy`:
//! - `deny-exec`: exec, attach, port-forward and ephemeral containers are denied to all but `allow_groups` (by default
//!   `stanch:responders`), `allow_users` and Stanch itself, whichever verb is used (`get` and `create`). A
//!   `ValidatingAdmissionPolicy` with its binding, else Kyverno.
//! - `restrict-pods`: `how: label` sets the Pod Security Standard `restricted`; the server's own dry run says which pods
//!   would be refused at their next start, and then it refuses, unless `force`. `how: mutate` makes new pods comply, as
//!   far as that can be done (`MutatingAdmissionPolicy`, where it is served).
//! - `default-deny`: a `NetworkPolicy` for every pod. `new_namespaces` does the same for namespaces to come, by Kyverno.
//!   Where no agent is known that enforces such policies, it refuses.
//!
//! A repeat finds a policy of ours that somebody has weakened, puts it right and says so. What is there under its name
//! and was not made under this record is somebody else's, and is left alone.
//!
//! **Permissions**: `get namespaces`, reads of pods, nodes and `DaemonSets`, `patch namespaces` (the dry run needs it to
//! plan); `create`, `update` of the policies to apply, `delete` to revert.
//!
//! **Blast radius**: the namespace, and no other. Whoever debugs by exec is shut out too; pods that do not comply do not
//! start again; with `default-deny` whatever no other policy allows is cut.
//!
//! **Undo**: our objects are deleted, the label gets its former value.
//!
//! Sources: Kubernetes "Validating Admission Policy", "Mutating Admission Policy", "Pod Security Standards", "Network
//! Policies"; Kyverno "Validate Rules", "Generate Rules".

mod exec;
mod network;
mod restrict;

use serde::Deserialize;
use serde_json::{Value, json};
use stanch_core::{
    Change, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
    responder::Known,
};
use stanch_k8s::{Compare, Kube, KubeApi, NamespaceFacts, NamespaceOf, Object, ObjectRef, PolicySlot, Resource};

/// Puts a policy on a namespace.
#[derive(Debug)]
pub struct K8sEnforcePolicy;

/// What it can be told.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Which policy.
    pub policy: Policy,
    /// Which engine.
    pub engine: Engine,
    /// `deny-exec`: groups that may all the same.
    pub allow_groups: Option<Vec<String>>,
    /// `deny-exec`: users that may all the same.
    pub allow_users: Vec<String>,
    /// `restrict-pods`: by label or by mutation.
    pub how: How,
    /// `restrict-pods`: though running pods would be refused at their next start.
    pub force: bool,
    /// `default-deny`: the cluster's DNS stays reachable.
    pub allow_dns: bool,
    /// `default-deny`: namespaces to come as well.
    pub new_namespaces: bool,
    /// `default-deny`: something enforces policies, though it is not known here.
    pub assume_enforced: bool,
}

/// Which policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Nobody gets into a pod.
    #[default]
    DenyExec,
    /// No pod is privileged.
    RestrictPods,
    /// No traffic by default.
    DefaultDeny,
}

/// Which engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The built-in one, else Kyverno.
    #[default]
    Auto,
    /// The API server itself.
    Builtin,
    /// Kyverno.
    Kyverno,
}

/// How pods are restricted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Those that do not comply are refused.
    #[default]
    Label,
    /// They are made to comply.
    Mutate,
}

const fn on(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Permission {
    Permission::Kube { group, resource, verbs }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const KYVERNO: &str = "kyverno.io";

impl Responder for K8sEnforcePolicy {
    const NAME: &'static str = "k8s-enforce-policy";
    const ABOUT: &'static str =
        "Denies exec into the pods of a namespace, restricts what its pods may be, or denies their traffic by default.";
    const UNDO: &'static str = "Our policies go, and the namespace's label gets its former value back.";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &[
            on("", "namespaces", &["get", "patch"]),
            on("", "pods", &["get", "list"]),
            on("", "nodes", &["list"]),
            on("apps", "daemonsets", &["list"]),
            on("networking.k8s.io", "networkpolicies", &["get", "list"]),
            on(ADMISSION, "validatingadmissionpolicies", &["get"]),
            on(ADMISSION, "validatingadmissionpolicybindings", &["get"]),
            on(ADMISSION, "mutatingadmissionpolicies", &["get"]),
            on(ADMISSION, "mutatingadmissionpolicybindings", &["get"]),
            on(KYVERNO, "clusterpolicies", &["get"]),
        ],
        apply: &[
            on("networking.k8s.io", "networkpolicies", &["create", "update"]),
            on(ADMISSION, "validatingadmissionpolicies", &["create", "update"]),
            on(ADMISSION, "validatingadmissionpolicybindings", &["create", "update"]),
            on(ADMISSION, "mutatingadmissionpolicies", &["create", "update"]),
            on(ADMISSION, "mutatingadmissionpolicybindings", &["create", "update"]),
            on(KYVERNO, "clusterpolicies", &["create", "update"]),
        ],
        revert: &[
            on("networking.k8s.io", "networkpolicies", &["delete"]),
            on(ADMISSION, "validatingadmissionpolicies", &["delete"]),
            on(ADMISSION, "validatingadmissionpolicybindings", &["delete"]),
            on(ADMISSION, "mutatingadmissionpolicies", &["delete"]),
            on(ADMISSION, "mutatingadmissionpolicybindings", &["delete"]),
            on(KYVERNO, "clusterpolicies", &["delete"]),
        ],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "policy",
            form: "deny-exec, restrict-pods or default-deny; default deny-exec",
            about: "what is enforced in the namespace",
        },
        OptionDoc { name: "engine", form: "auto, builtin or kyverno; default auto", about: "what enforces deny-exec" },
        OptionDoc {
            name: "allow_groups",
            form: r#"list of groups, default ["stanch:responders"]"#,
            about: "deny-exec: who may exec all the same",
        },
        OptionDoc { name: "allow_users", form: "list of users, default none", about: "deny-exec: the same by name" },
        OptionDoc {
            name: "how",
            form: "label or mutate, default label",
            about: "restrict-pods: refuse pods, or make them comply",
        },
        OptionDoc {
            name: "force",
            form: "true or false, default false",
            about: "restrict-pods: though running pods would be refused at their next start",
        },
        OptionDoc {
            name: "allow_dns",
            form: "true or false, default false",
            about: "default-deny: the cluster's DNS stays open",
        },
        OptionDoc {
            name: "new_namespaces",
            form: "true or false, default false",
            about: "default-deny: namespaces to come get the policy too, by Kyverno",
        },
        OptionDoc {
            name: "assume_enforced",
            form: "true or false, default false",
            about: "default-deny: something enforces network policies here that is not known to this responder",
        },
    ];

    type Cloud = Kube;
    type Target = NamespaceOf;
    type Options = Options;
    type Slot = PolicySlot;

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<PolicySlot>> {
        Self::plan_knowing(api, scene, &Known { recorded: Vec::new(), siblings: Vec::new() }).await
    }

    async fn plan_knowing(
        api: &KubeApi,
        scene: &Scene<'_, Self>,
        known: &Known<PolicySlot>,
    ) -> Result<Plan<PolicySlot>> {
        let Scene { facts, options, .. } = scene;
        let mut ours = Ours { api, known, said: Vec::new() };
        let plan = match options.policy {
            Policy::DenyExec => exec::plan(&mut ours, facts, options).await,
            Policy::RestrictPods => restrict::plan(&mut ours, facts, options).await,
            Policy::DefaultDeny => network::plan(&mut ours, facts, options).await,
        };
        Ok(plan?.leaving(ours.said))
    }
}

/// What limits a policy of the whole cluster to one namespace: its own label, which nobody can take off.
fn only(namespace: &NamespaceFacts) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": namespace.name()}})
}

/// Makes the objects that a policy consists of.
struct Ours<'a> {
    api: &'a KubeApi,
    known: &'a Known<PolicySlot>,
    /// What is said of those that are there already.
    said: Vec<Remaining>,
}

impl<'a> Ours<'a> {
    /// An object, and the change that puts it there.
    async fn object(
        &mut self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        body: Value,
        compare: Compare,
    ) -> Result<Change<PolicySlot>> {
        let object = ObjectRef {
            cluster: self.api.cluster().clone(),
            resource: resource.clone(),
            namespace: namespace.map(str::parse).transpose()?,
            name: name.parse()?,
            uid: None,
        };
        let mut manifest = json!({"apiVersion": resource.api_version(), "kind": resource.kind,
            "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "stanch"}}});
        if let (Some(namespace), Some(metadata)) =
            (namespace, manifest.get_mut("metadata").and_then(Value::as_object_mut))
        {
            metadata.insert("namespace".to_owned(), namespace.into());
        }
        if let (Some(fields), Value::Object(body)) = (manifest.as_object_mut(), body) {
            fields.extend(body);
        }
        let found = match self.api.get(&object).await {
            Ok(found) => Some(found),
            Err(error) if error.kind() == Kind::NotFound => None,
            Err(error) => return Err(error),
        };
        let asked = Object { compare, ..Object::ours(object, manifest) };
        let recorded = self.recorded(&asked.object);
        if recorded.is_some_and(|recorded| *recorded != asked) {
            let what = format!("{name} stays as it was ordered first: other options take a revert and a new order");
            self.said.push(Remaining::new(what));
        }
        let object = recorded.cloned().unwrap_or(asked);
        let before = object.state_in(found.as_ref());
        if !before.is_absent() && before != Object::present() {
            if recorded.is_none() {
                // What it was could not be brought back: its body is not saved.
                let message = "an object of this name is there and says something else: remove it first";
                return Err(Error::new(Kind::Conflict, "plan", message).on(name));
            }
            let (kind, how) = (&resource.kind, before.0.as_str().unwrap_or_default());
            let what = format!("{kind} {name} was changed since ({how}) and is put right: find out who may write it");
            self.said.push(Remaining::new(what));
        }
        Ok(Change { slot: object.into(), before, after: Object::present() })
    }

    /// The object as this record has made it: then undo takes it away, whatever it says now.
    fn recorded(&self, object: &ObjectRef) -> Option<&'a Object> {
        self.known.recorded.iter().find_map(|change| match &change.slot {
            PolicySlot::Object(made) if made.object == *object && change.before.is_absent() => Some(made),
            _ => None,
        })
    }
}

fn said(text: impl Into<String>) -> Remaining {
    Remaining::new(text)
}
