//! Lists: selected, paged, and as metadata where that is enough.

use serde_json::{Value, json};

use super::select;
use super::served::Served;
use super::state::State;
use super::status::Failure;
use crate::host::Asked;

pub(super) fn list(state: &State, asked: &Asked, served: &Served, namespace: Option<&str>) -> Result<Value, Failure> {
    let (field, label) =
        (asked.param("fieldSelector").unwrap_or_default(), asked.param("labelSelector").unwrap_or_default());
    let resource = served.qualified();
    let from = (resource.clone(), namespace.unwrap_or_default().to_owned(), String::new());
    let mut found = Vec::new();
    for ((of, within, _), object) in state.objects.range(from..) {
        if *of != resource || namespace.is_some_and(|namespace| namespace != within) {
            break;
        }
        if select::fields(&field, &resource, object)? && select::labels(&label, object)? {
            found.push(object);
        }
    }
    let limit: usize = match asked.param("limit") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Failure::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))?,
    };
    let (start, version) = match asked.param("continue") {
        None => (0, state.version()),
        Some(token) => {
            let (version, start) = token
                .split_once('.')
                .and_then(|(version, start)| Some((version.parse::<u64>().ok()?, start.parse::<usize>().ok()?)))
                .ok_or_else(|| Failure::bad_request("continue key is not valid"))?;
            if version < state.oldest_list {
                return Err(Failure::expired(&format!("{}.{start}", state.version())));
            }
            (start, version)
        }
    };
    let left = found.len().saturating_sub(start);
    let size = if limit == 0 { left } else { limit.min(left) };
    let mut meta = json!({"resourceVersion": version.to_string()});
    if let (true, Some(fields)) = (size < left, meta.as_object_mut()) {
        fields.insert("continue".into(), format!("{version}.{}", start + size).into());
        if field.is_empty() && label.is_empty() {
            fields.insert("remainingItemCount".into(), (left - size).into());
        }
    }
    let page = found.into_iter().skip(start).take(size);
    if metadata_only(asked) {
        let items: Vec<Value> = page.map(partial).collect();
        return Ok(
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items}),
        );
    }
    // Items of a list carry neither kind nor apiVersion.
    let items: Vec<Value> = page
        .map(|object| {
            let mut object = object.clone();
            if let Some(fields) = object.as_object_mut() {
                fields.remove("kind");
                fields.remove("apiVersion");
            }
            object
        })
        .collect();
    Ok(
        json!({"kind": format!("{}List", served.kind), "apiVersion": served.api_version(), "metadata": meta, "items": items}),
    )
}

pub(super) fn metadata_only(asked: &Asked) -> bool {
    asked.header("accept").is_some_and(|accept| accept.contains("as=PartialObjectMetadata"))
}

pub(super) fn partial(object: &Value) -> Value {
    let meta = object.get("metadata").cloned().unwrap_or_default();
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta})
}
