//! Deletes a workload that must not run any more, or scales it to zero.
//!
//! **When**: the workload itself is the attack (a miner that was deployed), or nothing of it can be trusted and its
//! successor is ready. After evidence was taken: with the pods goes what they hold.
//!
//! **Changes** (`how: delete`): the manifest is saved in the record, without what the server assigned, before the one
//! `DELETE`, on the condition that the workload still has its UID; its pods are deleted first (`keep_pods`: they stay,
//! without an owner). A `StatefulSet` whose volumes would go with it (`whenDeleted: Delete`) is told to retain them
//! first, and it is waited until its controller has let go of the claims.
//!
//! **Changes** (`how: scale_to_zero`): `spec.replicas` to 0; a `CronJob` or Job is suspended.
//!
//! **Permissions**: `get` of the workload kinds and of namespaces, `list horizontalpodautoscalers,
//! persistentvolumeclaims` to plan; `delete` and `patch` of the kinds to apply; `create` and `patch` to revert.
//!
//! **Blast radius**: whatever the workload serves.
//!
//! **Undo**: the workload is created again from the saved manifest, with another UID; one that took its name meanwhile
//! is never overwritten. Or the former scale. Pods, and what they held, do not come back.
//!
//! Sources: Kubernetes, "Use Cascading Deletion in a Cluster", "`StatefulSets`, `PersistentVolumeClaim` retention";
//! Google Cloud, "Mitigating security incidents" (GKE), "Delete a workload".

mod successor;

use serde::Deserialize;
use serde_json::{Value, json};
use stanch_core::{
    Change, Disruption, Error, Kind, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene,
    Trigger, responder::Known,
};
use stanch_k8s::{
    Compare, Fields, Kube, KubeApi, KubeState, Object, ObjectRef, Propagation, Retain, WorkloadByName, WorkloadNamed,
    WorkloadSlot, manifest_of,
};

/// Deletes a workload, or scales it to zero.
#[derive(Debug)]
pub struct K8sDeleteWorkload;

/// What it can be told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Deleted, or scaled to zero.
    pub how: How,
    /// Leave its pods.
    pub keep_pods: bool,
    /// The workload that takes over: `Deployment/web-2`, in the same namespace.
    pub successor: Option<String>,
}

/// How it is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Deleted.
    #[default]
    Delete,
    /// Kept, without pods.
    ScaleToZero,
}

const fn on(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Permission {
    Permission::Kube { group, resource, verbs }
}

/// Of every kind that has a scale or can be suspended, and of the one that is neither.
macro_rules! workloads {
    ([$($every:literal),+], [$($daemon:literal),*]) => {
        [
            on("", "replicationcontrollers", &[$($every),+]),
            on("apps", "daemonsets", &[$($daemon),*]),
            on("apps", "deployments", &[$($every),+]),
            on("apps", "replicasets", &[$($every),+]),
            on("apps", "statefulsets", &[$($every),+]),
            on("batch", "cronjobs", &[$($every),+]),
            on("batch", "jobs", &[$($every),+]),
        ]
    };
}

const PLAN: [Permission; 10] = {
    let [rc, ds, deploy, rs, sts, cj, job] = workloads!(["get"], ["get"]);
    [
        rc,
        ds,
        deploy,
        rs,
        sts,
        cj,
        job,
        on("", "namespaces", &["get"]),
        on("", "persistentvolumeclaims", &["list"]),
        on("autoscaling", "horizontalpodautoscalers", &["list"]),
    ]
};

impl Responder for K8sDeleteWorkload {
    const NAME: &'static str = "k8s-delete-workload";
    const ABOUT: &'static str = "Deletes a workload, its manifest saved first, or scales it to zero.";
    const UNDO: &'static str = "It is created again from the saved manifest, unless another took its name; or its former scale. What its pods \
         held does not come back.";
    const TRIGGER: Trigger = Trigger::Order;
    const NEEDS: Permissions = Permissions {
        plan: &PLAN,
        apply: &workloads!(["delete", "patch"], ["delete"]),
        revert: &workloads!(["create", "patch"], ["create"]),
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "how",
            form: "delete or scale_to_zero, default delete",
            about: "scale_to_zero keeps the workload without pods; a CronJob or Job is suspended",
        },
        OptionDoc {
            name: "keep_pods",
            form: "true or false, default false",
            about: "its pods stay, without an owner: nobody makes them again",
        },
        OptionDoc {
            name: "successor",
            form: "KIND/NAME in the same namespace",
            about: "the workload that takes over; it is looked at whether it is ready and of other images",
        },
    ];

    type Cloud = Kube;
    type Target = WorkloadByName;
    type Options = Options;
    type Slot = WorkloadSlot;

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<WorkloadSlot>> {
        Self::plan_knowing(api, scene, &Known { recorded: Vec::new(), siblings: Vec::new() }).await
    }

    async fn plan_knowing(
        api: &KubeApi,
        scene: &Scene<'_, Self>,
        known: &Known<WorkloadSlot>,
    ) -> Result<Plan<WorkloadSlot>> {
        let WorkloadNamed { object, value, owner } = scene.facts;
        let deleted = known.recorded.iter().find_map(|change| match &change.slot {
            WorkloadSlot::Object(deleted) => Some(deleted),
            _ => None,
        });
        let Some(value) = value else {
            return match deleted {
                Some(_) => Ok(Plan::empty().leaving([Remaining::new("the workload is deleted")])),
                None => Err(Error::new(Kind::NotFound, "get", "does not exist").on(name(object))),
            };
        };
        // Whoever has taken the name since may be the cure.
        if let Some(deleted) = deleted
            && deleted.object.uid != object.uid
            && successor::is_another(&deleted.manifest, value)
        {
            let what = "another workload of other images has its name now; it is left alone";
            return Ok(Plan::empty().leaving([Remaining::new(what)]));
        }
        if let Some(owner) = owner {
            let why = format!("{} {} controls it and would make it again: name that", owner.kind, owner.name);
            return Err(Error::refused(why).on(name(object)));
        }
        let mut left = successor::warnings(api, object, value, scene.options).await?;
        if value.pointer("/metadata/deletionTimestamp").is_some() {
            left.push(Remaining::new("it is being deleted"));
            return Ok(Plan::empty().leaving(left));
        }
        Ok(match scene.options.how {
            How::Delete => delete(scene, value).leaving(left),
            How::ScaleToZero => Plan::empty().then([scale_to_zero(object, value)?]).leaving(left),
        })
    }
}

fn name(object: &ObjectRef) -> String {
    let namespace = object.namespace.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{}/{namespace}/{}", object.resource.kind, object.name)
}

fn delete(scene: &Scene<'_, K8sDeleteWorkload>, value: &Value) -> Plan<WorkloadSlot> {
    let object = &scene.facts.object;
    let mut plan = Plan::empty();
    let retained = Retain::state_in(value);
    if object.resource.kind == "StatefulSet" && retained == KubeState::text(Some("Delete")) {
        plan = plan.then([Change {
            slot: Retain { set: object.clone() }.into(),
            before: retained,
            after: KubeState::text(Some("Retain")),
        }]);
    }
    let gone = Object {
        object: object.clone(),
        manifest: manifest(value),
        compare: Compare::Contains,
        propagation: if scene.options.keep_pods { Propagation::Orphan } else { Propagation::Foreground },
        disruption: Disruption::Service,
        shared: false,
    };
    plan.then([Change { slot: gone.into(), before: Object::present(), after: Object::absent() }])
}

/// What it is created from again. A Job's selector and the labels that it rests on are made by the server, and name
/// the UID of the Job that is gone.
fn manifest(value: &Value) -> Value {
    let mut manifest = manifest_of(value);
    if manifest.get("kind") == Some(&json!("Job")) && value.pointer("/spec/manualSelector") != Some(&json!(true)) {
        if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("selector");
        }
        for path in ["/metadata/labels", "/spec/template/metadata/labels"] {
            if let Some(labels) = manifest.pointer_mut(path).and_then(Value::as_object_mut) {
                labels.retain(|key, _| !GENERATED.contains(&key.as_str()));
            }
        }
    }
    if let Some(meta) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.remove("finalizers");
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            // The deployment controller counts anew.
            annotations.remove("deployment.kubernetes.io/revision");
        }
    }
    manifest
}

const GENERATED: [&str; 4] =
    ["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

fn scale_to_zero(object: &ObjectRef, value: &Value) -> Result<Change<WorkloadSlot>> {
    let (path, to) = match object.resource.kind.as_str() {
        "CronJob" | "Job" => ("/spec/suspend", json!(true)),
        "DaemonSet" => {
            let message = "a DaemonSet has no scale: use how: delete, or k8s-confine-workload";
            return Err(Error::new(Kind::Unsupported, "plan", message).on(name(object)));
        }
        _ if value.pointer("/spec/replicas").is_some() => ("/spec/replicas", json!(0)),
        _ => return Err(Error::new(Kind::Unsupported, "plan", "it has no replicas: use how: delete").on(name(object))),
    };
    let about = if path == "/spec/suspend" { "suspend" } else { "scale to zero" };
    let fields = Fields {
        object: object.clone(),
        paths: vec![path.to_owned()],
        about: about.to_owned(),
        disruption: Disruption::Service,
    };
    let before = fields.state_in(value);
    Ok(Change { slot: fields.into(), before, after: KubeState(json!({path: to})) })
}
