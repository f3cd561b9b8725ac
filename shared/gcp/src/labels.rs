//! The labels of an instance that say what is going on. Only the named ones are touched; `instances.setLabels` replaces
//! all of them on the condition of a fingerprint. Source: Compute Engine "Organize resources using labels".

use std::collections::BTreeMap;

use google_cloud_compute_v1::model::{Instance, InstancesSetLabelsRequest};
use serde::{Deserialize, Serialize};
use stanch_core::{Error, Kind, Mark, Recorded, Result, Seen, Slot};

use crate::{
    api::GceApi,
    facts::{EXEMPT_LABEL, InstanceRef},
    mark::{label, labels},
    power::{operate, read},
    tag::seen,
};

/// A resource has at most so many.
pub const MOST_LABELS: usize = 64;

/// Labels as an order gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// What an instance is marked with where nothing is said.
    pub fn usual() -> Self {
        Self(BTreeMap::from([("status".to_owned(), "under-investigation".to_owned())]))
    }

    /// With those that say whose it is, and since when.
    pub fn with_ours(&self, mark: &Mark) -> BTreeMap<String, String> {
        let ours = labels(mark).into_iter().map(|(key, value)| (key.to_owned(), value));
        let since = label(&mark.opened.strftime("%Y-%m-%dT%H-%M-%SZ").to_string());
        self.0.clone().into_iter().chain(ours).chain([("stanch-since".to_owned(), since)]).collect()
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = Error;

    fn try_from(given: BTreeMap<String, String>) -> Result<Self> {
        let fits = |text: &str| {
            text.len() <= 63
                && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_')
        };
        for (key, value) in &given {
            if !fits(key) || !key.bytes().next().is_some_and(|c| c.is_ascii_lowercase()) || !fits(value) {
                let rule = "must map keys to values of lower-case letters, digits, - and _, at most 63 each";
                return Err(Error::invalid("labels", rule));
            }
            if key.starts_with("stanch-") || key == EXEMPT_LABEL {
                return Err(Error::invalid("labels", "must not begin with stanch-: those are our own"));
            }
        }
        Ok(Self(given))
    }
}

/// Some labels of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelsSlot {
    /// The instance.
    pub instance: InstanceRef,
    /// Which ones.
    pub keys: Vec<String>,
}

impl LabelsSlot {
    /// What the named labels are among these; `None` where there is none.
    pub fn of(&self, labels: &BTreeMap<String, String>) -> BTreeMap<String, Option<String>> {
        self.keys.iter().map(|key| (key.clone(), labels.get(key).cloned())).collect()
    }
}

impl Slot for LabelsSlot {
    type Api = GceApi;
    type State = BTreeMap<String, Option<String>>;
    /// The instance, for all its labels and their fingerprint.
    type Token = Box<Instance>;

    async fn look(&self, api: &GceApi, _mark: &Mark) -> Result<Seen<Self>> {
        let instance = read(api, &self.instance).await?;
        let labels = instance.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(seen(self.of(&labels), Box::new(instance), Vec::new()))
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &GceApi) -> Result<()> {
        let instance = &change.slot().instance;
        let mut labels = seen.token.labels.clone();
        for (key, value) in change.to() {
            match value {
                Some(value) => drop(labels.insert(key.clone(), value.clone())),
                None => drop(labels.remove(key)),
            }
        }
        if labels.len() > MOST_LABELS {
            return Err(full(instance));
        }
        let fingerprint = seen.token.label_fingerprint.clone();
        let body = InstancesSetLabelsRequest::new().set_labels(labels).set_or_clear_label_fingerprint(fingerprint);
        operate!(api, instance, "compute.instances.setLabels", set_labels.set_body(body))
    }

    fn what(&self, to: &Self::State) -> String {
        let set: Vec<_> = to.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key.as_str()).collect();
        if set.is_empty() {
            return format!("take the labels {} off {}", self.keys.join(", "), self.instance.name);
        }
        format!("set the labels {} of {}", set.join(", "), self.instance.name)
    }

    fn command(&self, to: &Self::State, _mark: &Mark) -> String {
        let words = self.instance.words();
        let set: Vec<_> = to.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?))).collect();
        let gone: Vec<_> = to.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()).collect();
        let add = (!set.is_empty())
            .then(|| format!("gcloud compute instances add-labels {words} --labels={}", set.join(",")));
        let remove = (!gone.is_empty())
            .then(|| format!("gcloud compute instances remove-labels {words} --labels={}", gone.join(",")));
        add.into_iter().chain(remove).collect::<Vec<_>>().join(" && ")
    }
}

/// Why a label does not fit any more.
pub fn full(instance: &InstanceRef) -> Error {
    let why = format!("the instance has {MOST_LABELS} labels, and no more fit: take some off");
    Error::new(Kind::Unsupported, "compute.instances.setLabels", why).on(instance.named())
}
