//! What a finding names inside a cluster ("Security Command Center API: Kubernetes"; "Container Threat Detection:
//! findings", whose `sourceProperties` say the same once more).

use stanch_core::{
    Result, Target,
    names::{ImageRef, KubeName, Namespace},
    target::{Cluster, Image, ServiceAccount},
};

use super::{
    name::{Object, Resource, Vm},
    owner::Owner,
    subjects::{MAX_OBJECTS, Place},
    vm,
};
use crate::{at::At, kube, text::Notes};

/// Pods, workloads and service accounts. What the finding's resource is, is one of those of its kind that are listed.
pub(super) fn objects(
    finding: &At<'_>,
    properties: &At<'_>,
    resources: [&Place<'_>; 2],
    cluster: Option<&Cluster>,
    subjects: &mut Vec<Target>,
    notes: &mut Notes,
) -> Result<()> {
    let section = finding.get("kubernetes")?;
    let (pods, objects) = (section.get("pods")?, section.get("objects")?);
    let mut listed = Vec::new();
    for pod in bounded(&pods)? {
        match namespaced("pods", &pod.get("ns")?, &pod.get("name")?)? {
            Some(pod) => listed.push(pod),
            None => notes.add("a pod's namespace or name is missing"),
        }
    }
    let mut others = Vec::new();
    for object in bounded(&objects)? {
        let Some(kind) = object.get("kind")?.text()?.map(str::to_ascii_lowercase) else { continue };
        if !kube::is_own(object.get("group")?.text()?) {
            continue;
        }
        let resource = format!("{}s", kind.trim_end_matches('s'));
        if ["pods", "serviceaccounts"].contains(&resource.as_str()) || kube::WORKLOADS.contains(&resource.as_str()) {
            let name = object.get("name")?;
            let Some(object) = namespaced(&resource, &object.get("ns")?, &name)? else { continue };
            among(&name, &object, &pods, &listed)?;
            others.push(object);
        }
    }
    let name = properties.get("Pod_Name")?;
    let own = namespaced("pods", &properties.get("Pod_Namespace")?, &name)?;
    let named = resources.into_iter().filter_map(|(at, place)| match place {
        Some(Resource::Cluster(_, Some(object))) => Some((at, object)),
        _ => None,
    });
    for (at, object) in own.iter().map(|pod| (&name, pod)).chain(named) {
        among(at, object, &pods, &listed)?;
        among(at, object, &objects, &others)?;
        if listed.is_empty() {
            among(at, object, &name, own.as_slice())?;
        }
    }
    let named: Vec<_> = listed.into_iter().chain(own).chain(others).collect();
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

/// What one place names is in a list that holds others of its kind. Of another kind it may be what owns them.
fn among(at: &At<'_>, object: &Object, list: &At<'_>, listed: &[Object]) -> Result<()> {
    if listed.iter().any(|it| it.is_like(object)) && !listed.contains(object) {
        return Err(at.wrong(format!("is not among {}", list.path())));
    }
    Ok(())
}

/// The nodes, and the VMs that they are. A node or VM that another place names is one of those listed.
pub(super) fn nodes(
    finding: &At<'_>,
    properties: &At<'_>,
    resources: [&Place<'_>; 2],
    cluster: Option<&Cluster>,
    owner: &Owner,
    subjects: &mut Vec<Target>,
    notes: &mut Notes,
) -> Result<()> {
    let (own, list) = node_places(finding, properties)?;
    let nodes_at = finding.get("kubernetes")?.get("nodes")?;
    let mut named = Vec::new();
    for (at, place) in resources {
        match place {
            Some(Resource::Cluster(_, Some(Object::Node(name)))) => {
                named.push((at, Node { name: Some(name.clone()), vm: None }));
            }
            Some(Resource::Vm(vm)) => named.push((at, Node::of(vm.clone()))),
            _ => {}
        }
    }
    if let Some((at, own)) = &own {
        if let Some((other, _)) = named.iter().find(|(_, other)| !own.may_be(other)) {
            return Err(at.wrong(format!("disagrees with {}", other.path())));
        }
        named.push((at, own.clone()));
    }
    for (at, node) in &named {
        if !list.is_empty() && !list.iter().any(|(_, it)| it.may_be(node)) {
            return Err(at.wrong(format!("is not among {}", nodes_at.path())));
        }
    }
    for (at, node) in own.iter().chain(&list) {
        if let (Some(cluster), Some(name)) = (cluster, &node.name) {
            kube::add(subjects, Some(kube::node(cluster, name.clone())));
        }
        if let Some(vm) = &node.vm {
            if let Some(cluster) = cluster
                && !vm.is_in_project_of(cluster)
            {
                return Err(at.wrong("is in another project than the cluster"));
            }
            vm::push(subjects, vm, owner, notes);
        }
    }
    Ok(())
}

/// A node, by as much of its name as a place tells.
#[derive(Clone, Debug)]
struct Node {
    name: Option<KubeName>,
    vm: Option<Vm>,
}

impl Node {
    /// GKE names a node after its VM.
    fn of(vm: Vm) -> Self {
        Self { name: vm.name.as_ref().and_then(|name| name.as_str().parse().ok()), vm: Some(vm) }
    }

    fn may_be(&self, other: &Self) -> bool {
        let same_name = self.name.as_ref().zip(other.name.as_ref()).is_none_or(|(one, other)| one == other);
        let same_vm =
            self.vm.as_ref().zip(other.vm.as_ref()).is_none_or(|(one, other)| one.clone().with(other).is_some());
        same_name && same_vm
    }
}

/// A place that names a node, and the node.
type NodePlace<'a> = (At<'a>, Node);

/// `VM_Instance_Name` and the nodes that are listed.
fn node_places<'a>(finding: &At<'a>, properties: &At<'a>) -> Result<(Option<NodePlace<'a>>, Vec<NodePlace<'a>>)> {
    let read = |at: At<'a>| -> Result<Option<NodePlace<'a>>> {
        let Some(text) = at.text()?.filter(|text| !text.is_empty()) else { return Ok(None) };
        let node = if text.starts_with("//") {
            let Some(Resource::Vm(vm)) = Resource::read(&at)? else { return Err(at.wrong("must name a VM")) };
            Node::of(vm)
        } else if text.bytes().all(|c| c.is_ascii_digit()) {
            // A VM's number, of which nobody says where it is.
            Node { name: None, vm: None }
        } else {
            Node { name: Some(at.parse(text)?), vm: None }
        };
        Ok(Some((at, node)))
    };
    let mut list = Vec::new();
    for node in bounded(&finding.get("kubernetes")?.get("nodes")?)? {
        list.extend(read(node.get("name")?)?);
    }
    Ok((read(properties.get("VM_Instance_Name")?)?, list))
}

/// The first place that names a node's VM.
pub(super) fn node_vm<'a>(finding: &At<'a>, properties: &At<'a>) -> Result<Option<At<'a>>> {
    let (own, list) = node_places(finding, properties)?;
    Ok(own.into_iter().chain(list).find(|(_, node)| node.vm.is_some()).map(|(at, _)| at))
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
