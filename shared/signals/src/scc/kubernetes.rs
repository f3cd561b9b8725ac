//! What a finding names inside a cluster ("Security Command Center API: Kubernetes"; "Container Threat Detection:
//! findings", whose `sourceProperties` say the same once more).

use stanch_core::{
    Result, Target,
    names::{ImageRef, KubeName, Namespace},
    target::{Cluster, Image, ServiceAccount},
};

use super::{
    name::{Object, Resource},
    owner::Owner,
    subjects::{MAX_OBJECTS, Place},
    vm,
};
use crate::{at::At, kube, text::Notes};

/// Pods, workloads and service accounts. A pod that is the finding's resource is one of the pods that it lists.
pub(super) fn objects(
    finding: &At<'_>,
    properties: &At<'_>,
    resources: [&Place<'_>; 2],
    cluster: Option<&Cluster>,
    subjects: &mut Vec<Target>,
    notes: &mut Notes,
) -> Result<()> {
    let section = finding.get("kubernetes")?;
    let pods = section.get("pods")?;
    let mut named = Vec::new();
    for pod in bounded(&pods)? {
        match namespaced("pods", &pod.get("ns")?, &pod.get("name")?)? {
            Some(pod) => named.push(pod),
            None => notes.add("a pod's namespace or name is missing"),
        }
    }
    let name = properties.get("Pod_Name")?;
    if let Some(pod) = namespaced("pods", &properties.get("Pod_Namespace")?, &name)? {
        if !named.is_empty() && !named.contains(&pod) {
            return Err(name.wrong(format!("is not among {}", pods.path())));
        }
        named.push(pod);
    }
    for (at, place) in resources {
        if let Some(Resource::Cluster(_, Some(pod))) = place
            && pod.is_pod()
            && !named.is_empty()
            && !named.contains(pod)
        {
            return Err(at.wrong(format!("is not among {}", pods.path())));
        }
    }
    for object in bounded(&section.get("objects")?)? {
        let Some(kind) = object.get("kind")?.text()?.map(str::to_ascii_lowercase) else { continue };
        let resource = format!("{}s", kind.trim_end_matches('s'));
        if ["pods", "serviceaccounts"].contains(&resource.as_str()) || kube::WORKLOADS.contains(&resource.as_str()) {
            named.extend(namespaced(&resource, &object.get("ns")?, &object.get("name")?)?);
        }
    }
    match cluster {
        Some(cluster) => {
            for object in &named {
                kube::add(subjects, Some(target(object, cluster, &pods)?));
            }
        }
        None if named.is_empty() => {}
        None => notes.add("the finding does not say which cluster"),
    }
    Ok(())
}

/// The nodes, and the VMs that they are.
pub(super) fn nodes(
    finding: &At<'_>,
    properties: &At<'_>,
    cluster: Option<&Cluster>,
    owner: &Owner,
    subjects: &mut Vec<Target>,
    notes: &mut Notes,
) -> Result<()> {
    let mut places = vec![properties.get("VM_Instance_Name")?];
    for node in bounded(&finding.get("kubernetes")?.get("nodes")?)? {
        places.push(node.get("name")?);
    }
    for at in places {
        let Some(text) = at.text()?.filter(|text| !text.is_empty()) else { continue };
        let mut name = None;
        if text.starts_with("//") {
            let Some(Resource::Vm(vm)) = Resource::read(&at)? else { return Err(at.wrong("must name a VM")) };
            // GKE names a node after its VM.
            name = vm.name.as_ref().and_then(|name| name.as_str().parse::<KubeName>().ok());
            if let (Some(cluster), Some(name)) = (cluster, name.take()) {
                kube::add(subjects, Some(kube::node(cluster, name)));
            }
            vm::push(subjects, &vm, owner, notes);
        } else if !text.bytes().all(|c| c.is_ascii_digit()) {
            name = Some(at.parse::<KubeName>(text)?);
        }
        if let (Some(cluster), Some(name)) = (cluster, name) {
            kube::add(subjects, Some(kube::node(cluster, name)));
        }
    }
    Ok(())
}

/// The image that the process ran from. Only Container Threat Detection, which watches the node, says that; what an
/// audit log says is what a caller asked for, and a caller could ask for everyone's image.
pub(super) fn image(
    finding: &At<'_>,
    properties: &At<'_>,
    cluster: Option<&Cluster>,
    notes: &mut Notes,
) -> Result<Option<Target>> {
    let own = properties.get("Container_Image_Uri")?;
    let mut listed = Vec::new();
    let mut containers = bounded(&finding.get("containers")?)?;
    for pod in bounded(&finding.get("kubernetes")?.get("pods")?)? {
        containers.extend(bounded(&pod.get("containers")?)?);
    }
    for container in containers {
        if let Some(uri) = container.get("uri")?.text()?.filter(|uri| !uri.is_empty() && !listed.contains(uri)) {
            listed.push(uri);
        }
    }
    let text = match (own.text()?.filter(|uri| !uri.is_empty()), listed.as_slice()) {
        (Some(uri), []) => uri,
        (Some(uri), listed) if listed.contains(&uri) => uri,
        (Some(_), _) => return Err(own.wrong("is not among the finding's containers")),
        (None, [uri]) => uri,
        (None, []) => return Ok(None),
        (None, _) => {
            notes.add("the finding does not say which container's image");
            return Ok(None);
        }
    };
    let Some(cluster) = cluster else { return Ok(None) };
    let Ok(image) = text.parse::<ImageRef>() else {
        notes.add("the container's image is not an image reference");
        return Ok(None);
    };
    Ok(Some(Image { cluster: cluster.clone(), image }.into()))
}

/// Does the finding come from Container Threat Detection?
pub(super) fn is_container_threat(finding: &At<'_>, properties: &At<'_>) -> bool {
    ["parentDisplayName", "sourceDisplayName"]
        .iter()
        .any(|key| finding.peek(&[key]) == Some("Container Threat Detection"))
        || finding.peek(&["findingProviderId"]).is_some_and(|id| id.ends_with("/ktd"))
        || properties.peek(&["Container_Name"]).is_some()
}

/// An object as a target.
pub(super) fn target(object: &Object, cluster: &Cluster, at: &At<'_>) -> Result<Target> {
    Ok(match object {
        Object::Node(name) => kube::node(cluster, name.clone()),
        Object::Namespaced(resource, namespace, name) if resource == "serviceaccounts" => {
            ServiceAccount { cluster: cluster.clone(), namespace: namespace.clone(), name: name.clone() }.into()
        }
        Object::Namespaced(resource, namespace, name) => {
            kube::pod_or_workload(cluster, at.parse(resource)?, namespace.clone(), name.clone(), None)
        }
    })
}

fn namespaced(resource: &str, namespace: &At<'_>, name: &At<'_>) -> Result<Option<Object>> {
    let is_filled = |at: &At<'_>| -> Result<bool> { Ok(at.text()?.is_some_and(|text| !text.is_empty())) };
    if !is_filled(namespace)? || !is_filled(name)? {
        return Ok(None);
    }
    let (namespace, name) = (namespace.name::<Namespace>()?, name.name::<KubeName>()?);
    Ok(namespace.zip(name).map(|(namespace, name)| Object::Namespaced(resource.to_owned(), namespace, name)))
}

fn bounded<'a>(at: &At<'a>) -> Result<Vec<At<'a>>> {
    let items = at.items()?;
    if items.len() > MAX_OBJECTS {
        return Err(at.wrong("must hold at most 100 items"));
    }
    Ok(items)
}
