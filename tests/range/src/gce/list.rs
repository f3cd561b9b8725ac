//! Lists: filtered, in pages.

use serde_json::{Value, json};

use super::error::Refusal;
use super::state::{ROOT, State};
use super::{filter, render};
use crate::host::Asked;

pub(super) fn instances(state: &State, project: &str, zone: Option<&str>) -> Vec<Value> {
    let mut found: Vec<_> = state
        .instances
        .iter()
        .filter(|kept| kept.seed.project == project && zone.is_none_or(|zone| kept.seed.zone == zone))
        .collect();
    found.sort_by(|a, b| (&a.seed.zone, &a.seed.name).cmp(&(&b.seed.zone, &b.seed.name)));
    found.into_iter().map(|kept| render::instance(state, kept)).collect()
}

/// One page of the items that match.
pub(super) fn page(
    items: Vec<Value>,
    asked: &Asked,
    longest: Option<usize>,
) -> Result<(Vec<Value>, Option<String>), Refusal> {
    let filter = asked.param("filter");
    let mut kept = Vec::new();
    for item in items {
        let matches = filter.as_deref().map_or(Ok(true), |filter| filter::matches(filter, &item));
        match matches {
            Ok(true) => kept.push(item),
            Ok(false) => {}
            Err(why) => {
                let given = filter.unwrap_or_default();
                return Err(Refusal::field("filter", &given, &format!("Invalid list filter expression: {why}.")));
            }
        }
    }
    let bad = |name: &str, value: &str| Refusal::field(name, value, "Must be a value that the previous page gave.");
    let start = match asked.param("pageToken") {
        None => 0,
        Some(token) => token
            .strip_prefix("page-")
            .and_then(|at| at.parse::<usize>().ok())
            .ok_or_else(|| bad("pageToken", &token))?,
    };
    let size = match asked.param("maxResults") {
        None => 500,
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|size| (1..=500).contains(size))
            .ok_or_else(|| Refusal::field("maxResults", &text, "Values must be within the range: [0, 500]"))?,
    };
    let size = longest.map_or(size, |longest| size.min(longest));
    let next = (start + size < kept.len()).then(|| format!("page-{}", start + size));
    Ok((kept.into_iter().skip(start).take(size).collect(), next))
}

pub(super) fn list(
    kind: &str,
    resource: &str,
    items: Vec<Value>,
    asked: &Asked,
    longest: Option<usize>,
) -> Result<Value, Refusal> {
    let (items, next) = page(items, asked, longest)?;
    let mut out = json!({"kind": kind, "id": resource, "selfLink": format!("{ROOT}/{resource}")});
    if let Some(fields) = out.as_object_mut() {
        if !items.is_empty() {
            fields.insert("items".into(), items.into());
        }
        if let Some(next) = next {
            fields.insert("nextPageToken".into(), next.into());
        }
    }
    Ok(out)
}

pub(super) fn aggregated(state: &State, asked: &Asked, project: &str) -> Result<Value, Refusal> {
    let (items, next) = page(instances(state, project, None), asked, state.page_size)?;
    let mut scopes = serde_json::Map::new();
    for zone in &state.zones {
        let link = format!("{ROOT}/projects/{project}/zones/{zone}");
        let here: Vec<&Value> = items.iter().filter(|item| item.get("zone").is_some_and(|at| *at == link)).collect();
        let entry = if here.is_empty() {
            json!({"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "There are no results for scope on this page.",
                "data": [{"key": "scope", "value": format!("zones/{zone}")}]}})
        } else {
            json!({ "instances": here })
        };
        scopes.insert(format!("zones/{zone}"), entry);
    }
    let mut out = json!({"kind": "compute#instanceAggregatedList", "id": format!("projects/{project}/aggregated/instances"),
        "items": scopes, "selfLink": format!("{ROOT}/projects/{project}/aggregated/instances")});
    if let (Some(fields), Some(next)) = (out.as_object_mut(), next) {
        fields.insert("nextPageToken".into(), next.into());
    }
    Ok(out)
}
