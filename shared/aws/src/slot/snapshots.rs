//! One `CreateSnapshots` on an instance: a crash-consistent set over its EBS volumes.
//!
//! Sources: EC2 API Reference "`CreateSnapshots`", "`InstanceSpecification`"; EBS User Guide "Create multi-volume
//! snapshots"; EC2 User Guide "Tag your Amazon EC2 resources" (tag restrictions).

use aws_sdk_ec2::{
    error::ProvideErrorMetadata,
    operation::create_snapshots::{
        CreateSnapshotsError, CreateSnapshotsOutput, builders::CreateSnapshotsFluentBuilder,
    },
    types::{CopyTagsFromSource, InstanceSpecification, ResourceType, Tag, TagSpecification},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use serde::{Deserialize, Serialize};
use stanch_core::{
    Error, Kind, Mark, Result,
    names::{AccountId, InstanceId, Region, VolumeId},
};

use super::{TAG_RECORD, tags};
use crate::{ec2::Ec2Api, error::classify, shell};

/// As many data volumes can be left out in one request (EC2 API Reference: "`InstanceSpecification`").
pub const MAX_EXCLUDED: usize = 40;
const OPERATION: &str = "ec2:CreateSnapshots";

/// The snapshots of an instance's volumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotSet {
    /// The region of the instance.
    pub region: Region,
    /// The account that owns it.
    pub account: AccountId,
    /// The instance.
    pub instance: InstanceId,
    /// The volumes that must be captured.
    pub volumes: Vec<VolumeId>,
    /// Leave the root volume out.
    #[serde(default)]
    pub exclude_boot: bool,
    /// Leave these data volumes out.
    #[serde(default)]
    pub exclude: Vec<VolumeId>,
}

impl SnapshotSet {
    /// The request, and with a mark the tags at creation: between a creation and a later tagging a crash would
    /// lose the snapshots.
    pub(crate) fn request(&self, api: &Ec2Api, mark: Option<&Mark>, copy_tags: bool) -> CreateSnapshotsFluentBuilder {
        let excluded = self.exclude.iter().map(ToString::to_string).collect::<Vec<_>>();
        let instance = InstanceSpecification::builder()
            .instance_id(self.instance.as_str())
            .set_exclude_boot_volume(self.exclude_boot.then_some(true))
            .set_exclude_data_volume_ids((!excluded.is_empty()).then_some(excluded))
            .build();
        let mut request = api.client.create_snapshots().instance_specification(instance);
        if copy_tags {
            request = request.copy_tags_from_source(CopyTagsFromSource::Volume);
        }
        let Some(mark) = mark else { return request };
        let tags = tags(mark).map(|(key, value)| Tag::builder().key(key).value(value).build());
        let tags =
            TagSpecification::builder().resource_type(ResourceType::Snapshot).set_tags(Some(tags.into())).build();
        request.description(self.description(mark)).tag_specifications(tags)
    }

    /// Takes the set.
    pub(crate) async fn create(&self, api: &Ec2Api, mark: &Mark) -> Result<()> {
        let mut answer = self.request(api, Some(mark), true).send().await;
        // Copied tags come on top of ours, and 50 is the limit: whoever may tag a volume could fill it up, or take
        // our keys, and so keep it from being captured. EC2 refused the whole request, so asking again without the
        // copies cannot make a second set.
        if answer.as_ref().err().is_some_and(tags_are_in_the_way) {
            answer = self.request(api, Some(mark), false).send().await;
        }
        let made = answer.map_err(|error| classify(OPERATION, self.instance.as_str(), error))?;
        self.verify(&made)
    }

    /// A volume that was detached since it was planned is not in the set, and will not be. `NotFound`, since that is
    /// never tried again: each try would make one more set.
    fn verify(&self, made: &CreateSnapshotsOutput) -> Result<()> {
        let missing: Vec<_> = self
            .volumes
            .iter()
            .filter(|volume| !made.snapshots().iter().any(|made| made.volume_id() == Some(volume.as_str())))
            .map(VolumeId::as_str)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!("the others were captured, but no longer attached: {}", missing.join(", "));
        Err(Error::new(Kind::NotFound, OPERATION, message).on(self.instance.as_str()))
    }

    pub(super) fn command(&self, mark: &Mark) -> String {
        let mut instance = format!("InstanceId={}", self.instance);
        if self.exclude_boot {
            instance.push_str(",ExcludeBootVolume=true");
        }
        if !self.exclude.is_empty() {
            let ids: Vec<_> = self.exclude.iter().map(VolumeId::as_str).collect();
            instance = format!("{instance},ExcludeDataVolumeIds={}", ids.join(","));
        }
        let tags = tags(mark).map(|(key, value)| serde_json::json!({ "Key": key, "Value": value }));
        let tags = serde_json::json!([{ "ResourceType": "snapshot", "Tags": tags }]).to_string();
        format!(
            "aws ec2 create-snapshots --region {} --instance-specification {} --copy-tags-from-source volume \
             --description {} --tag-specifications {}",
            self.region,
            shell::word(&instance),
            shell::word(&self.description(mark)),
            shell::word(&tags),
        )
    }

    pub(super) fn wait_command(&self, mark: &Mark) -> String {
        format!(
            "aws ec2 wait snapshot-completed --region {} --owner-ids self --filters {}",
            self.region,
            shell::word(&format!("Name=tag:{TAG_RECORD},Values={}", mark.record)),
        )
    }

    /// What the console shows in the list. At most 215 characters of the 255 that a description has.
    fn description(&self, mark: &Mark) -> String {
        format!("Evidence of {} for incident {} (stanch {})", self.instance, mark.incident, mark.record)
    }
}

/// Whether the tags are what EC2 refuses.
fn tags_are_in_the_way(error: &SdkError<CreateSnapshotsError, HttpResponse>) -> bool {
    let Some(error) = error.as_service_error() else { return false };
    match error.code() {
        Some("TagLimitExceeded") => true,
        Some(code) if code.starts_with("InvalidParameter") => {
            error.message().is_some_and(|text| text.to_ascii_lowercase().contains("tag"))
        }
        _ => false,
    }
}
