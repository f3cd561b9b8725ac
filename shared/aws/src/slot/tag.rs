//! A tag of an instance.
//!
//! Sources: EC2 API Reference "`CreateTags`" (an existing key is overwritten), "`DeleteTags`"; EC2 User Guide "Tag your
//! Amazon EC2 resources" (50 tags).

use std::time::Duration;

use aws_sdk_ec2::types::Tag;
use serde::{Deserialize, Serialize};
use stanch_core::{
    Mark, Recorded, Result, Seen, Slot,
    names::{AccountId, InstanceId, Region},
    target::Ec2Instance,
};

use super::LAG;
use crate::{
    ec2::{Ec2Api, dry_run},
    error::classify,
    reach::Reach,
    shell,
};

/// One place that can be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "slot", rename_all = "snake_case")]
pub enum TagSlot {
    /// A tag of an instance.
    Tag(InstanceTag),
}

/// A tag of an instance, by its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceTag {
    /// The region of the instance.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The instance.
    pub instance: InstanceId,
    /// The key.
    pub key: String,
}

/// What such a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagState {
    /// The value; none where there is no such tag.
    pub tag: Option<String>,
}

impl Slot for TagSlot {
    type Api = Ec2Api;
    type State = TagState;
    type Token = ();

    async fn look(&self, api: &Ec2Api, _: &Mark) -> Result<Seen<Self>> {
        let Self::Tag(slot) = self;
        let tag = api.instance(&slot.instance).await?.tags.get(&slot.key).cloned();
        Ok(Seen { state: TagState { tag }, token: (), ids: Vec::new(), settling: None })
    }

    async fn write(change: Recorded<'_, Self>, _: &Seen<Self>, api: &Ec2Api) -> Result<()> {
        change.slot().carry_out(change.to(), api).await
    }

    fn what(&self, to: &TagState) -> String {
        let Self::Tag(slot) = self;
        match &to.tag {
            Some(value) => format!("tag {} with {}={}", slot.instance, slot.key, crate::error::plain(value)),
            None => format!("take the tag {} off {}", slot.key, slot.instance),
        }
    }

    fn command(&self, to: &TagState, _: &Mark) -> String {
        let Self::Tag(slot) = self;
        let (verb, tag) = match &to.tag {
            Some(value) => ("create-tags", serde_json::json!([{"Key": slot.key, "Value": value}])),
            None => ("delete-tags", serde_json::json!([{"Key": slot.key}])),
        };
        format!(
            "aws ec2 {verb} --region {} --resources {} --tags {}",
            slot.region,
            slot.instance,
            shell::word(&tag.to_string())
        )
    }

    /// EC2 has no precondition for it.
    fn blind(&self) -> Option<()> {
        Some(())
    }

    /// An instance sees its own tags where its metadata options allow it.
    fn visible_to_attacker(&self) -> bool {
        true
    }

    fn lag(&self) -> Duration {
        LAG
    }

    /// What is written is the whole state.
    fn repeatable(&self) -> bool {
        true
    }
}

impl TagSlot {
    /// What `write` does, apart from the proof that it is recorded.
    pub(crate) async fn carry_out(&self, to: &TagState, api: &Ec2Api) -> Result<()> {
        let Self::Tag(slot) = self;
        let (on, key) = (slot.instance.as_str(), Tag::builder().key(&slot.key));
        if let Some(value) = &to.tag {
            let call = api.client.create_tags().resources(on).tags(key.value(value).build());
            call.send().await.map(drop).map_err(|error| classify("ec2:CreateTags", on, error))
        } else {
            // With the key alone: it goes, whatever its value is by now. The look before has seen that it is ours.
            let call = api.client.delete_tags().resources(on).tags(key.build());
            call.send().await.map(drop).map_err(|error| classify("ec2:DeleteTags", on, error))
        }
    }
}

impl Reach for TagSlot {
    fn connect(config: &aws_config::SdkConfig, target: &Ec2Instance) -> Ec2Api {
        Ec2Api::connect(config, target)
    }

    async fn attempt(api: &Ec2Api, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        let id = target.id.as_str();
        let tag = Tag::builder().key(super::TAG_INCIDENT).value("check").build();
        Some(match action {
            "ec2:CreateTags" => {
                dry_run(action, id, api.client.create_tags().resources(id).tags(tag).dry_run(true).send().await)
            }
            "ec2:DeleteTags" => {
                dry_run(action, id, api.client.delete_tags().resources(id).tags(tag).dry_run(true).send().await)
            }
            _ => return None,
        })
    }
}
