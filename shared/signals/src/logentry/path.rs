//! Resource names of audit entries, read strictly: no empty segment, no `.` and no `..`, so that a name can never
//! climb out of its place.

use stanch_core::{
    Result,
    names::{GceId, GceName, ProjectId, Zone},
};

use crate::at::At;

/// A Kubernetes API path without its leading slash, as GKE writes it:
/// `GROUP/VERSION[/namespaces/NS]/RESOURCE[/NAME[/SUBRESOURCE…]]`.
#[derive(Debug)]
pub(crate) struct KubePath<'a> {
    pub(crate) group: &'a str,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) resource: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) subresource: Option<&'a str>,
}

impl<'a> KubePath<'a> {
    /// The path, or `None` when it names no object.
    pub(crate) fn read(at: &At<'a>) -> Result<Option<Self>> {
        let Some(text) = at.text()? else { return Ok(None) };
        let parts: Vec<_> = text.split('/').collect();
        // What follows a subresource is the caller's: the path that a proxy is to pass on.
        let own = if parts.get(2) == Some(&"namespaces") { 7 } else { 5 };
        let mut parts = checked(at, parts.into_iter().take(own).collect())?.into_iter();
        let (Some(group), Some(_version), Some(first)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(None);
        };
        let second = parts.next();
        let third = parts.next();
        Ok(Some(match (first, second, third) {
            ("namespaces", Some(namespace), Some(resource)) => {
                Self { group, namespace: Some(namespace), resource, name: parts.next(), subresource: parts.next() }
            }
            (resource, name, subresource) => Self { group, namespace: None, resource, name, subresource },
        }))
    }
}

/// `projects/P/zones/Z/instances/NAME[/…]`.
#[derive(Debug)]
pub(crate) struct GcePath {
    /// `None` where the project's number stands instead of its id.
    pub(crate) project: Option<ProjectId>,
    pub(crate) zone: Zone,
    pub(crate) name: Option<GceName>,
    pub(crate) id: Option<GceId>,
}

impl GcePath {
    /// The path, or `None` when it is not one of an instance.
    pub(crate) fn read(at: &At<'_>) -> Result<Option<Self>> {
        let Some(text) = at.text()? else { return Ok(None) };
        let parts = checked(at, text.split('/').collect())?;
        let ["projects", project, "zones", zone, "instances", instance, ..] = parts.as_slice() else {
            return Ok(None);
        };
        let is_number = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
        Ok(Some(Self {
            project: if is_number(project) { None } else { Some(at.parse(project)?) },
            zone: at.parse(zone)?,
            name: if is_number(instance) { None } else { Some(at.parse(instance)?) },
            id: if is_number(instance) { Some(at.parse(instance)?) } else { None },
        }))
    }
}

fn checked<'a>(at: &At<'_>, parts: Vec<&'a str>) -> Result<Vec<&'a str>> {
    if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return Err(at.wrong("must be a path without empty and dot segments"));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Limits, document::Document};

    #[test]
    fn api_paths_are_read_in_all_their_forms() -> Result<()> {
        for (text, expected) in [
            ("core/v1/namespaces/web/pods/web-1/exec", (Some("web"), "pods", Some("web-1"), Some("exec"))),
            ("core/v1/namespaces/web/pods/web-1", (Some("web"), "pods", Some("web-1"), None)),
            ("core/v1/namespaces/web/pods", (Some("web"), "pods", None, None)),
            ("core/v1/namespaces/web", (None, "namespaces", Some("web"), None)),
            ("core/v1/nodes/node-1", (None, "nodes", Some("node-1"), None)),
            ("core/v1/nodes/node-1/proxy/run", (None, "nodes", Some("node-1"), Some("proxy"))),
            ("core/v1/nodes/node-1:10250/proxy//run/..", (None, "nodes", Some("node-1:10250"), Some("proxy"))),
            ("core/v1/namespaces/web/pods/web-1/proxy/", (Some("web"), "pods", Some("web-1"), Some("proxy"))),
            ("apps/v1/namespaces/web/deployments/api", (Some("web"), "deployments", Some("api"), None)),
            ("authorization.k8s.io/v1/selfsubjectaccessreviews", (None, "selfsubjectaccessreviews", None, None)),
        ] {
            let text = json!(text).to_string();
            let document = Document::read(text.as_bytes(), &Limits::default())?;
            let path = KubePath::read(&document.top())?;
            let path = path.map(|path| (path.namespace, path.resource, path.name, path.subresource));
            assert_eq!(path, Some(expected), "{text}");
        }
        Ok(())
    }

    #[test]
    fn paths_cannot_climb() -> Result<()> {
        for text in [
            "core/v1/namespaces/../../kube-system/pods/coredns/exec",
            "core/v1/namespaces/web/pods/./exec",
            "core/v1/namespaces//pods/web-1/exec",
            "/core/v1/pods",
            "core/v1/namespaces/web/pods/web-1/",
        ] {
            let text = json!(text).to_string();
            let document = Document::read(text.as_bytes(), &Limits::default())?;
            assert!(KubePath::read(&document.top()).is_err(), "{text}");
            assert!(GcePath::read(&document.top()).is_err(), "{text}");
        }
        Ok(())
    }
}
