//! A network tag of an instance: what firewall rules aim at.
//!
//! `instances.setTags` replaces the whole list, on the condition of a fingerprint: somebody who tags at the same moment
//! is not overwritten; the call fails with 412, and the driver looks again. Tags hold for every interface of the instance
//! (VPC: "Add network tags"). Source: Compute Engine API reference, `instances.setTags`.

use google_cloud_compute_v1::model::Tags;
use serde::{Deserialize, Serialize};
use stanch_core::{Error, Kind, Result, Seen, Slot, names::GceName};

use crate::{
    api::GceApi,
    facts::InstanceRef,
    power::{operate, read},
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
        let tags = read(api, &self.instance).await?.tags.unwrap_or_default();
        Ok((tags.items.iter().any(|tag| tag == self.tag.as_str()), tags))
    }

    pub(crate) async fn write(&self, set: bool, seen: &Tags, api: &GceApi) -> Result<()> {
        let mut items = seen.items.clone();
        items.retain(|tag| tag != self.tag.as_str());
        if set {
            if items.len() >= MOST_TAGS {
                return Err(full(&self.instance));
            }
            items.push(self.tag.to_string());
        }
        let body = Tags::new().set_items(items).set_or_clear_fingerprint(seen.fingerprint.clone());
        operate!(api, &self.instance, "compute.instances.setTags", set_tags.set_body(body))
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
