//! Deletes a pod whose workload has been fixed, so that its owner makes it again.
//!
//! **When**: the cause is known and the workload's template no longer has it: a new image, or a new revision that the
//! update strategy has not brought to this pod (`OnDelete`, a partition, a rollout that is stuck). Memory and disks of
//! the pod are captured before: they go with it.
//!
//! **Changes**: one `DELETE` on the condition that the pod still has its UID, with a grace period of 10 seconds. Done
//! when the pod is gone. Who makes it again, and of which images, is in the plan.
//!
//! **Refused**: a pod without an owner (nobody would make it again); a pod whose owner's template still has the image
//! that it runs, by digest where both are known, else by name (`same_image` overrides: a clean copy of a good image
//! is what is wanted after a container was tampered with).
//!
//! **Permissions**: `get pods, namespaces, nodes`, `list pods`, `get` of the workload kinds to plan; `delete pods` to
//! apply.
//!
//! **Blast radius**: the pod. With `grace_period` 0 the object vanishes while the container may still run.
//!
//! **Undo**: none; the owner has made another pod.
//!
//! Sources: Google Cloud, "Mitigating security incidents" (GKE), "Redeploy a container"; Kubernetes, "Pod Lifecycle,
//! Termination of Pods".

use std::time::Duration;

use serde::Deserialize;
use stanch_core::{
    Change, Error, OptionDoc, Permission, Permissions, Plan, Remaining, Responder, Result, Scene, Trigger,
};
use stanch_k8s::{
    Container, How, ImageName, Kube, KubeApi, KubeState, Maker, PodFacts, PodOrGone, Removal, RemovalSlot, next_order,
};

/// Deletes a pod whose workload has been fixed.
#[derive(Debug)]
pub struct K8sRedeployPod;

/// What it can be told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Redeploy although the owner's template still has the image.
    pub same_image: bool,
    /// The accused image, where only one of the pod's is.
    pub image: Option<String>,
    /// How many seconds the pod gets to end.
    pub grace_period: Option<u32>,
}

/// As Google's page has it.
const GRACE: u32 = 10;
/// A kubelet reports the end a moment after the grace period.
const REPORT: u32 = 60;

const fn read(group: &'static str, resource: &'static str) -> Permission {
    Permission::Kube { group, resource, verbs: &["get"] }
}

impl Responder for K8sRedeployPod {
    const NAME: &'static str = "k8s-redeploy-pod";
    const ABOUT: &'static str = "Deletes a pod whose workload has been fixed, so that its owner makes it again.";
    const UNDO: &'static str = "The pod does not come back; its owner has made another one.";
    const TRIGGER: Trigger = Trigger::Order;
    const COOL_DOWN: Option<Duration> = Some(Duration::from_hours(1));
    const NEEDS: Permissions = Permissions {
        plan: &[
            Permission::Kube { group: "", resource: "pods", verbs: &["get", "list"] },
            read("", "namespaces"),
            read("", "nodes"),
            read("", "replicationcontrollers"),
            read("apps", "daemonsets"),
            read("apps", "deployments"),
            read("apps", "replicasets"),
            read("apps", "statefulsets"),
            read("batch", "cronjobs"),
            read("batch", "jobs"),
        ],
        apply: &[Permission::Kube { group: "", resource: "pods", verbs: &["delete"] }],
        revert: &[],
    };
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc {
            name: "same_image",
            form: "true or false, default false",
            about: "redeploys although the owner's template still has the image",
        },
        OptionDoc {
            name: "image",
            form: "a reference or a digest, default all of the pod's",
            about: "the accused image: the others may stay as they are",
        },
        OptionDoc {
            name: "grace_period",
            form: "seconds, default 10",
            about: "how long the pod gets to end; with 0 its containers may outlive it",
        },
    ];

    type Cloud = Kube;
    type Target = PodOrGone;
    type Options = Options;
    type Slot = RemovalSlot;

    async fn plan(api: &KubeApi, scene: &Scene<'_, Self>) -> Result<Plan<RemovalSlot>> {
        let Some(pod) = &scene.facts.pod else {
            return Ok(Plan::empty().leaving([Remaining::new("the pod is gone")]));
        };
        let makers = api.makers(pod).await?;
        let refusal = |message: String| Error::refused(message).on(format!("pod/{}/{}", pod.namespace, pod.name));
        if pod.owner.is_none() {
            return Err(refusal("nothing owns it, so nobody would make it again: delete it by hand".to_owned()));
        }
        let Some(nearest) = makers.iter().find(|maker| maker.makes_pods()) else {
            let message = "its owner is gone, wants no pods or is not readable: nobody would make it again";
            return Err(refusal(message.to_owned()));
        };
        let accused = accused(pod, scene.options.image.as_deref())?;
        if !scene.options.same_image
            && let Some(why) =
                makers.iter().filter(|maker| maker.makes_pods()).find_map(|it| unfixed(it, pod, &accused))
        {
            return Err(refusal(format!("{why}; fix it first, or order same_image")));
        }
        let removal = Removal {
            pod: pod.object_ref(),
            node: None,
            successor: format!("{} makes another one{}", nearest.words(), of_what(nearest, &accused)),
            how: How::Delete,
            grace: Some(scene.options.grace_period.unwrap_or(GRACE)),
            within: scene.options.grace_period.unwrap_or(GRACE) + REPORT,
        };
        let change = Change { slot: removal.into(), before: KubeState::flag(true), after: KubeState::flag(false) };
        Ok(Plan::empty().then([change]).leaving(remaining(scene, pod)))
    }
}

/// The containers in question. An ephemeral container is in no template.
fn accused<'a>(pod: &'a PodFacts, image: Option<&str>) -> Result<Vec<&'a Container>> {
    let own = pod.containers.iter().filter(|it| it.role != stanch_k8s::Role::Ephemeral);
    let Some(image) = image else { return Ok(own.collect()) };
    let name = ImageName::read(image);
    let running: Vec<_> = own.filter(|container| name.is_run_by(container)).collect();
    if running.is_empty() {
        return Err(Error::invalid("options.image", "no container of the pod runs it"));
    }
    Ok(running)
}

/// Why a pod that it makes would be no better. Where no image is named, one that is another is taken for the fix: a
/// sidecar stays as it is.
fn unfixed(maker: &Maker, pod: &PodFacts, accused: &[&Container]) -> Option<String> {
    let words = maker.words();
    if maker.template().is_none() {
        return Some(format!("{words} shows no pod template, so its image cannot be compared"));
    }
    if maker.holds_back(pod.name.as_str()) {
        return Some(format!("{words} makes this pod again from its former revision (partition)"));
    }
    let same = |container: &&&Container| {
        maker.image_of(&container.name).is_some_and(|image| {
            image == container.image || (image.contains('@') && ImageName::read(image).is_run_by(container))
        })
    };
    let unchanged: Vec<_> = accused.iter().filter(same).map(|it| it.image.as_str()).collect();
    (unchanged.len() == accused.len()).then(|| format!("{words} still has the image {}", unchanged.join(", ")))
}

fn of_what(maker: &Maker, accused: &[&Container]) -> String {
    let images: Vec<_> = accused.iter().filter_map(|container| maker.image_of(&container.name)).collect();
    if images.is_empty() { String::new() } else { format!(", of {}", images.join(", ")) }
}

fn remaining(scene: &Scene<'_, K8sRedeployPod>, pod: &PodFacts) -> Vec<Remaining> {
    let mut left = Vec::new();
    if scene.options.grace_period == Some(0) {
        left.push(Remaining::new("with no grace period the pod vanishes at once, and its containers may still run"));
    }
    let what = format!("the service account {}/{} keeps its rights", pod.namespace, pod.service_account);
    if let Ok(name) = pod.service_account.parse() {
        let (cluster, namespace) = (pod.cluster.clone(), pod.namespace.clone());
        let account = stanch_core::target::ServiceAccount { cluster, namespace, name };
        left.push(Remaining::new(what).next(next_order(
            "k8s-rotate-service-account",
            &scene.mark.incident,
            account.into(),
        )));
    }
    if let Some(node) = &pod.node {
        let node = stanch_core::target::Node { cluster: pod.cluster.clone(), name: node.clone(), uid: None };
        left.push(Remaining::new(format!("the node {} that it ran on is not touched", node.name)).next(next_order(
            "k8s-cordon-node",
            &scene.mark.incident,
            node.into(),
        )));
    }
    left
}
