//! What the cluster serves beyond what every cluster serves.

use http::StatusCode;
use serde_json::Value;
use stanch_core::{Kind, Result};

use crate::{
    KubeApi, Resource,
    error::Call,
    wire::{self, get, get_as, parse},
};

/// One document for all groups, since Kubernetes 1.27 (KEP 3352, "Aggregated Discovery").
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

const CALL: Call<'static> = Call { verb: "get", resource: "apis", object: "discovery" };

impl KubeApi {
    /// Whether the cluster serves a resource, and in which version.
    ///
    /// # Errors
    /// Whatever discovery answers.
    pub async fn serves(&self, group: &str, plural: &str) -> Result<Option<Resource>> {
        let answer = wire::exchange(self.client(), CALL, get(&format!("/apis/{group}")), Vec::new()).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status.is_success() {
            return Err(wire::refusal(CALL, &answer));
        }
        let found: Value = parse(CALL, &answer.body)?;
        let versions = found.get("versions").and_then(Value::as_array).into_iter().flatten();
        let versions = versions.filter_map(|it| it.get("version")?.as_str());
        for version in versions.filter(|version| is_name(version)) {
            let found = self.group_version(group, version).await?;
            if let Some(resource) = found.into_iter().find(|it| it.plural == plural) {
                return Ok(Some(resource));
            }
        }
        Ok(None)
    }

    /// Every resource, in the version that its group prefers.
    pub(crate) async fn resources(&self) -> Result<Vec<Resource>> {
        let document = wire::send(self.client(), CALL, get_as("/apis", AGGREGATED), Vec::new()).await?;
        let document: Value = parse(CALL, &document)?;
        if document.get("kind").and_then(Value::as_str) == Some("APIGroupDiscoveryList") {
            return Ok(aggregated(&document));
        }
        let mut found = Vec::new();
        for group in document.get("groups").and_then(Value::as_array).into_iter().flatten() {
            let text = |path: &str| group.pointer(path).and_then(Value::as_str).filter(|text| is_name(text));
            let (Some(name), Some(version)) = (text("/name"), text("/preferredVersion/version")) else { continue };
            found.extend(self.group_version(name, version).await?);
        }
        Ok(found)
    }

    async fn group_version(&self, group: &str, version: &str) -> Result<Vec<Resource>> {
        let path = format!("/apis/{group}/{version}");
        let document = match wire::send(self.client(), CALL, get(&path), Vec::new()).await {
            Ok(document) => document,
            Err(error) if error.kind() == Kind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let document: Value = parse(CALL, &document)?;
        let resources = document.get("resources").and_then(Value::as_array).into_iter().flatten();
        Ok(resources
            .filter_map(|it| {
                let (plural, kind) = (it.get("name")?.as_str()?, it.get("kind")?.as_str()?);
                (is_name(plural) && is_kind(kind)).then(|| Resource::new(group, version, plural, kind))
            })
            .collect())
    }
}

fn aggregated(document: &Value) -> Vec<Resource> {
    let items = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut found: Vec<Resource> = Vec::new();
    for group in items(document, "items") {
        let Some(name) = group.pointer("/metadata/name").and_then(Value::as_str).filter(|it| is_name(it)) else {
            continue;
        };
        for version in items(&group, "versions") {
            let Some(number) = version.get("version").and_then(Value::as_str).filter(|it| is_name(it)) else {
                continue;
            };
            for resource in items(&version, "resources") {
                let text = |path: &str| resource.pointer(path).and_then(Value::as_str);
                let (Some(plural), Some(kind)) = (text("/resource"), text("/responseKind/kind")) else { continue };
                // The preferred version comes first.
                let known = found.iter().any(|it| it.group == name && it.plural == plural);
                if !known && is_name(plural) && is_kind(kind) {
                    found.push(Resource::new(name, number, plural, kind));
                }
            }
        }
    }
    found
}

/// What may stand in a path: a server is believed, but only so far.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.')
        && !text.starts_with('.')
}

fn is_kind(text: &str) -> bool {
    !text.is_empty() && text.len() <= 63 && text.bytes().all(|c| c.is_ascii_alphanumeric())
}
