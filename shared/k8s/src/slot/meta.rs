//! Labels and annotations of any object.

use std::collections::BTreeMap;

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stanch_core::{Disruption, Mark, Result, target::Cluster};

use super::{
    KubeState, KubeToken, Look, Place,
    node::{damaged, explained, uid_of},
};
use crate::{
    KubeApi, ObjectRef,
    command::{kubectl, quote},
    facts::strings,
    labels::ISOLATE,
    patch,
};

/// One label of an object: a [`KubeState::text`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Which object.
    pub object: ObjectRef,
    /// Its key.
    pub key: String,
}

/// One annotation of an object: a [`KubeState::text`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// Which object.
    pub object: ObjectRef,
    /// Its key.
    pub key: String,
}

/// Our own annotations of an object, see [`MARKS`]: a [`KubeState::entries`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Which object.
    pub object: ObjectRef,
}

/// The annotations of [`Marks`]: incident, record, by whom, since when.
pub const MARKS: [&str; 4] = ["stanch.dev/incident", "stanch.dev/record", "stanch.dev/by", "stanch.dev/since"];

/// What [`Marks`] holds of what we leave.
pub fn marks(mark: &Mark) -> BTreeMap<String, String> {
    // An identity comes from outside: without control characters it cannot draw on the terminal of who reads it.
    let by = mark.by.chars().filter(|c| !c.is_control()).take(200).collect();
    let values = [mark.incident.to_string(), mark.record.to_string(), by, format!("{:.0}", mark.opened)];
    MARKS.into_iter().map(str::to_owned).zip(values).collect()
}

const ANNOTATIONS: &str = "annotations";

async fn put_in(
    object: &ObjectRef,
    map: &str,
    to: &BTreeMap<&str, Option<&str>>,
    seen: &KubeToken,
    api: &KubeApi,
) -> Result<()> {
    let present = seen.as_ref().and_then(|seen| seen.pointer("/metadata")?.get(map)?.as_object());
    let patch = patch::entries(uid_of(object)?, map, present, to);
    api.patch(object, &patch).await.map_err(|error| explained(object, error))
}

fn set(key: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => quote(&format!("{key}={value}")).into_owned(),
        None => format!("{key}-"),
    }
}

/// What a label and an annotation have in common.
trait Entry: Sync {
    /// The map of `metadata` that it stands in.
    const MAP: &'static str;
    /// As a sentence names it.
    const NOUN: &'static str;
    /// What a sentence, and `kubectl`, calls setting it.
    const VERB: &'static str;

    /// Of which object, and its key.
    fn at(&self) -> (&ObjectRef, &str);

    /// See [`Place::shared`].
    fn shared(&self) -> Option<KubeState> {
        None
    }

    /// See [`Place::disruption`].
    fn disruption(&self) -> Disruption {
        Disruption::None
    }
}

impl<E: Entry> Place for E {
    fn cluster(&self) -> &Cluster {
        &self.at().0.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let (object, key) = self.at();
            let seen = object.get(api).await?;
            let present = seen.pointer("/metadata").and_then(|it| it.get(E::MAP)?.get(key)?.as_str());
            Ok(Look::new(KubeState::text(present), Some(seen)))
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        seen: &'a KubeToken,
        to: &'a KubeState,
        _: &'a Mark,
        api: &'a KubeApi,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let (object, key) = self.at();
            put_in(object, E::MAP, &BTreeMap::from([(key, to.0.as_str())]), seen, api).await
        }
        .boxed()
    }

    fn what(&self, to: &KubeState) -> String {
        let ((object, key), verb, noun) = (self.at(), E::VERB, E::NOUN);
        match to.0.as_str() {
            Some(value) => format!("{verb} {} with {key}={value}", object.words()),
            None => format!("take the {noun} {key} off {}", object.words()),
        }
    }

    fn command(&self, to: &KubeState, _: &Mark) -> String {
        let (object, key) = self.at();
        let entry = set(key, to.0.as_str());
        kubectl(&object.cluster, &format!("{} {} {entry} --overwrite", E::VERB, object.kubectl()))
    }

    fn shared(&self) -> Option<KubeState> {
        Entry::shared(self)
    }

    fn disruption(&self) -> Disruption {
        Entry::disruption(self)
    }
}

impl Entry for Label {
    const MAP: &'static str = "labels";
    const NOUN: &'static str = "label";
    const VERB: &'static str = "label";

    fn at(&self) -> (&ObjectRef, &str) {
        (&self.object, &self.key)
    }

    fn shared(&self) -> Option<KubeState> {
        // A pod is isolated for as long as one of its records wants it to be: its own, its workload's, its image's.
        (self.key == ISOLATE).then(KubeState::absent)
    }

    fn disruption(&self) -> Disruption {
        if self.key == ISOLATE {
            return Disruption::Pod;
        }
        // Every load balancer drops the node.
        if self.key.starts_with("node.kubernetes.io/exclude") { Disruption::Service } else { Disruption::None }
    }
}

impl Entry for Annotation {
    const MAP: &'static str = ANNOTATIONS;
    const NOUN: &'static str = "annotation";
    const VERB: &'static str = "annotate";

    fn at(&self) -> (&ObjectRef, &str) {
        (&self.object, &self.key)
    }
}

impl Place for Marks {
    fn cluster(&self) -> &Cluster {
        &self.object.cluster
    }

    fn look<'a>(&'a self, api: &'a KubeApi, _: &'a Mark) -> BoxFuture<'a, Result<Look>> {
        async {
            let seen = self.object.get(api).await?;
            let mut entries = strings(&seen, "/metadata/annotations");
            entries.retain(|key, _| MARKS.contains(&key.as_str()));
            Ok(Look::new(KubeState::entries(entries), Some(seen)))
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        seen: &'a KubeToken,
        to: &'a KubeState,
        _: &'a Mark,
        api: &'a KubeApi,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let wanted = to.0.as_object().ok_or_else(|| damaged(&self.object))?;
            let to = MARKS.into_iter().map(|key| (key, wanted.get(key).and_then(Value::as_str))).collect();
            put_in(&self.object, ANNOTATIONS, &to, seen, api).await
        }
        .boxed()
    }

    fn what(&self, to: &KubeState) -> String {
        let words = self.object.words();
        match to.0.as_object() {
            Some(entries) if !entries.is_empty() => format!("mark {words}: incident, record, by whom, since when"),
            _ => format!("take our marks off {words}"),
        }
    }

    fn command(&self, to: &KubeState, _: &Mark) -> String {
        let marks: Vec<_> = MARKS.into_iter().map(|key| set(key, to.0.get(key).and_then(Value::as_str))).collect();
        kubectl(&self.object.cluster, &format!("annotate {} {} --overwrite", self.object.kubectl(), marks.join(" ")))
    }
}
