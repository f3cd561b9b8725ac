//! Who comes after: what takes over, and who would make the workload again.

use std::collections::BTreeSet;

use serde_json::Value;
use stanch_core::{
    Error, Kind, Remaining, Result,
    names::{KubeName, Namespace, WorkloadKind},
};
use stanch_k8s::{KubeApi, List, ObjectRef, Resource, managed_by};

use crate::{How, Options};

/// The images of a workload's pod template.
fn images(workload: &Value) -> BTreeSet<&str> {
    let template = ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
    let spec = template.into_iter().find_map(|path| workload.pointer(path));
    let list = |name: &str| spec.and_then(|spec| spec.get(name)).and_then(Value::as_array).into_iter().flatten();
    list("containers").chain(list("initContainers")).filter_map(|it| it.get("image")?.as_str()).collect()
}

/// Whether none of the images of a workload is one of another's.
pub(crate) fn is_another(former: &Value, present: &Value) -> bool {
    images(former).is_disjoint(&images(present))
}

/// What a person wants to know before it is gone.
pub(crate) async fn warnings(
    api: &KubeApi,
    object: &ObjectRef,
    value: &Value,
    options: &Options,
) -> Result<Vec<Remaining>> {
    let mut left = Vec::new();
    if let Some(tool) = managed_by(value) {
        left.push(Remaining::new(format!(
            "{tool} keeps it as a repository has it, and will make it again: stop it there"
        )));
    } else if value.pointer("/metadata/labels/app.kubernetes.io~1managed-by") == Some(&"Helm".into()) {
        left.push(Remaining::new("it is of a Helm release: the next upgrade makes it again"));
    }
    match &options.successor {
        None => left.push(Remaining::new("no successor is named: what it serves is down until one is deployed")),
        Some(named) => left.extend(successor(api, object, value, named).await?.map(Remaining::new)),
    }
    for name in autoscalers(api, object).await? {
        left.push(Remaining::new(match options.how {
            How::ScaleToZero => format!("the autoscaler {name} leaves it alone as long as it has no replicas"),
            How::Delete => format!("the autoscaler {name} stays, without a target"),
        }));
    }
    if options.keep_pods && options.how == How::Delete {
        left.push(Remaining::new("its pods go on running, without an owner"));
    }
    if object.resource.kind == "CronJob" && options.how == How::ScaleToZero {
        left.push(Remaining::new("Jobs that run go on until they end"));
    }
    Ok(left)
}

/// What is wrong with the successor.
async fn successor(api: &KubeApi, object: &ObjectRef, value: &Value, named: &str) -> Result<Option<String>> {
    let field = |message: &str| Error::invalid("options.successor", message.to_owned());
    let (kind, name) = named.split_once('/').ok_or_else(|| field("must be KIND/NAME"))?;
    let kind = kind.parse::<WorkloadKind>().map_err(|_| field("must be KIND/NAME"))?;
    let name = name.parse::<KubeName>().map_err(|_| field("must be KIND/NAME"))?;
    let resource = api.workload_resource(&kind).await?;
    let found = ObjectRef { resource, name, uid: None, ..object.clone() };
    let found = match api.get(&found).await {
        Ok(found) => found,
        Err(error) if error.kind() == Kind::NotFound => {
            return Ok(Some(format!("the successor {named} does not exist")));
        }
        Err(error) => return Err(error),
    };
    let number = |path: &str| found.pointer(path).and_then(Value::as_i64);
    let wanted = number("/status/desiredNumberScheduled").or_else(|| number("/spec/replicas")).unwrap_or(1);
    let ready = number("/status/numberReady").or_else(|| number("/status/readyReplicas")).unwrap_or(0);
    Ok(if !is_another(value, &found) {
        Some(format!("the successor {named} has an image of the workload that is deleted"))
    } else if ready < wanted || wanted == 0 {
        Some(format!("the successor {named} is not ready: {ready} of {wanted} pods"))
    } else {
        None
    })
}

async fn autoscalers(api: &KubeApi, object: &ObjectRef) -> Result<Vec<String>> {
    let resource = Resource::new("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler");
    let namespace = object.namespace.as_ref().map_or("", Namespace::as_str);
    let of_it = |item: Value| {
        let text = |path: &str| item.pointer(path).and_then(Value::as_str);
        let targets = text("/spec/scaleTargetRef/kind") == Some(object.resource.kind.as_str())
            && text("/spec/scaleTargetRef/name") == Some(object.name.as_str());
        let name = text("/metadata/name")?.parse::<KubeName>().ok()?;
        targets.then(|| name.to_string())
    };
    match api.list(&List::of(resource).within(namespace), of_it).await {
        // A cluster without autoscaling serves no such resource.
        Err(error) if error.kind() == Kind::NotFound => Ok(Vec::new()),
        found => found,
    }
}
