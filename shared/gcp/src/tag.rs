//! A network tag of an instance: what firewall rules aim at.
//!
//! `instances.setTags` replaces the whole list, on the condition of a fingerprint: somebody who tags at the same moment
//! is not overwritten; the call fails with 412, and the driver looks again. Tags hold for every interface of the instance
//! (VPC: "Add network tags"). Source: Compute Engine API reference, `instances.setTags`.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stanch_core::{Error, Kind, Result, Seen, Slot, names::GceName};

use crate::{
    api::GceApi,
    facts::{InstanceRef, Shown, Tags},
};

/// An instance has at most so many (VPC: "Quotas and limits").
pub const MOST_TAGS: usize = 64;

/// One tag of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagSlot {
    /// The instance.
    pub instance: InstanceRef,
    /// The tag.
    pub tag: GceName,
    /// Several records want it (the tag of a bastion): the last one takes it off.
    #[serde(default)]
    pub shared: bool,
    /// It cuts the instance off.
    #[serde(default)]
    pub cuts: bool,
}

impl TagSlot {
    pub(crate) async fn look(&self, api: &GceApi) -> Result<(bool, Tags)> {
        let shown: Shown = api.read("compute.instances.get", &self.instance.path()).await?;
        Ok((shown.tags.items.iter().any(|tag| tag == self.tag.as_str()), shown.tags))
    }

    pub(crate) async fn write(&self, set: bool, seen: &Tags, api: &GceApi) -> Result<()> {
        const SET: &str = "compute.instances.setTags";
        let mut items: Vec<&str> =
            seen.items.iter().map(String::as_str).filter(|tag| *tag != self.tag.as_str()).collect();
        if set {
            if items.len() >= MOST_TAGS {
                return Err(full(&self.instance));
            }
            items.push(self.tag.as_str());
        }
        let path = format!("{}/setTags", self.instance.path());
        let body = json!({"items": items, "fingerprint": seen.fingerprint});
        api.clients.rest.operate(Method::POST, SET, &path, Some(&body)).await
    }

    pub(crate) fn what(&self, set: bool) -> String {
        let verb = if set { "put the network tag" } else { "take off the network tag" };
        format!("{verb} {} on {}", self.tag, self.instance.name)
    }

    pub(crate) fn command(&self, set: bool) -> String {
        let verb = if set { "add-tags" } else { "remove-tags" };
        format!("gcloud compute instances {verb} {} --tags={}", self.instance.words(), self.tag)
    }
}

/// Why a tag does not fit any more.
pub fn full(instance: &InstanceRef) -> Error {
    let why = format!("the instance has {MOST_TAGS} network tags, and no more fit: take one off");
    Error::new(Kind::Unsupported, "compute.instances.setTags", why).on(instance.named())
}

/// What a look gives to the driver.
pub(crate) fn seen<S: Slot>(state: S::State, token: S::Token, ids: Vec<String>) -> Seen<S> {
    Seen { state, token, ids, settling: None }
}
