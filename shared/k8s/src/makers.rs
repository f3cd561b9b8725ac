//! Who makes a pod again when it is gone, and of what.

use serde_json::Value;
use stanch_core::Result;

use crate::{KubeApi, ObjectRef, PodFacts, pods::owner_of};

/// What stands above a pod.
#[derive(Clone, Debug)]
pub struct Maker {
    /// Which object.
    pub object: ObjectRef,
    /// All of it, as the server stores it.
    pub value: Value,
}

impl Maker {
    /// The pod template that new pods are made from; a `CronJob` has it in its Jobs'.
    pub fn template(&self) -> Option<&Value> {
        ["/spec/template", "/spec/jobTemplate/spec/template"].into_iter().find_map(|path| self.value.pointer(path))
    }

    /// Whether it makes pods at all now.
    pub fn makes_pods(&self) -> bool {
        self.value.pointer("/spec/replicas").and_then(Value::as_i64) != Some(0)
            && self.value.pointer("/metadata/deletionTimestamp").is_none()
    }

    /// The image of a container of the template, of whichever role.
    pub fn image_of(&self, container: &str) -> Option<&str> {
        let template = self.template()?;
        ["containers", "initContainers"].into_iter().find_map(|list| {
            let list = template.pointer("/spec")?.get(list)?.as_array()?;
            let found = list.iter().find(|it| it.get("name").and_then(Value::as_str) == Some(container))?;
            found.get("image")?.as_str()
        })
    }

    /// As a sentence names it: `ReplicaSet web-7d9c`.
    pub fn words(&self) -> String {
        format!("{} {}", self.object.resource.kind, self.object.name)
    }

    /// A `StatefulSet` that makes this pod again from its former revision: `updateStrategy.rollingUpdate.partition`
    /// is above its ordinal.
    pub fn holds_back(&self, pod: &str) -> bool {
        let partition = self.value.pointer("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_i64);
        let ordinal = pod.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse::<i64>().ok());
        self.object.resource.kind == "StatefulSet" && ordinal.zip(partition).is_some_and(|(at, from)| at < from)
    }
}

impl KubeApi {
    /// The controllers above a pod, the nearest first, as far as they are there.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`], naming the kind that may not be read.
    pub async fn makers(&self, pod: &PodFacts) -> Result<Vec<Maker>> {
        let (mut at, mut owner) = (pod.object_ref(), pod.owner.clone());
        let mut makers = Vec::new();
        // Chains are two long; a longer one goes in circles.
        for _ in 0..4 {
            let Some(next) = owner.take().filter(|next| next.kind != "Node") else { break };
            let Some((object, value)) = self.owner(&at, &next).await? else { break };
            owner = owner_of(&value);
            at = object.clone();
            makers.push(Maker { object, value });
        }
        Ok(makers)
    }
}
