//! What the Kubernetes detectors share.

use stanch_core::{
    Result, Target,
    names::{KubeName, KubeUid, Namespace, WorkloadKind},
    target::{Cluster, Node, Pod, ServiceAccount, Workload},
};

use crate::at::At;

/// The subject behind an authenticated user name (Kubernetes: "Service Accounts", "Using Node Authorization"):
/// a service account or a node. A person, a group or a controller is none that a responder takes.
pub(crate) fn user(at: &At<'_>, cluster: &Cluster) -> Result<Option<Target>> {
    at.text()?.map_or(Ok(None), |text| user_named(at, text, cluster))
}

/// The subject behind a user name that stands in a part of this text.
pub(crate) fn user_named(at: &At<'_>, text: &str, cluster: &Cluster) -> Result<Option<Target>> {
    if let Some(account) = text.strip_prefix("system:serviceaccount:") {
        let (namespace, name) =
            account.split_once(':').ok_or_else(|| at.wrong("must be system:serviceaccount:NAMESPACE:NAME"))?;
        return Ok(Some(
            ServiceAccount {
                cluster: cluster.clone(),
                namespace: at.parse::<Namespace>(namespace)?,
                name: at.parse::<KubeName>(name)?,
            }
            .into(),
        ));
    }
    if let Some(name) = text.strip_prefix("system:node:") {
        return Ok(Some(node(cluster, at.parse(name)?)));
    }
    Ok(None)
}

/// A node.
pub(crate) fn node(cluster: &Cluster, name: KubeName) -> Target {
    Node { cluster: cluster.clone(), name, uid: None }.into()
}

/// A pod if the kind says so (`pods`, `Pod`), else a workload of that kind.
pub(crate) fn pod_or_workload(
    cluster: &Cluster,
    kind: WorkloadKind,
    namespace: Namespace,
    name: KubeName,
    uid: Option<KubeUid>,
) -> Target {
    let cluster = cluster.clone();
    if ["pod", "pods"].iter().any(|pod| kind.as_str().eq_ignore_ascii_case(pod)) {
        Pod { cluster, namespace, name, uid, host: None }.into()
    } else {
        Workload { cluster, namespace, workload_kind: kind, name }.into()
    }
}

/// The resources, as API paths spell them, whose objects own pods.
pub(crate) const WORKLOADS: [&str; 7] =
    ["deployments", "replicasets", "daemonsets", "statefulsets", "jobs", "cronjobs", "replicationcontrollers"];

/// Is it an API group, alone or with its version, of Kubernetes' own nodes, pods and workloads? A custom resource may
/// have the name of one of them: `jobs` of Volcano, `statefulsets` of OpenKruise. What names no group is taken for one.
pub(crate) fn is_own(group: Option<&str>) -> bool {
    const OWN: [&str; 6] = ["", "v1", "core", "apps", "batch", "extensions"];
    group.is_none_or(|group| OWN.contains(&group.split('/').next().unwrap_or_default()))
}

/// Adds a subject once.
pub(crate) fn add(subjects: &mut Vec<Target>, subject: Option<Target>) {
    if let Some(subject) = subject
        && !subjects.contains(&subject)
    {
        subjects.push(subject);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stanch_core::Error;

    use super::*;
    use crate::{Limits, document::Document};

    #[test]
    fn users_are_service_accounts_nodes_or_nobody() -> Result<(), Error> {
        let shown = |name: &str| -> Result<String> {
            let text = json!(name).to_string();
            let document = Document::read(text.as_bytes(), &Limits::default())?;
            Ok(user(&document.top(), &Cluster::Current)?.map_or_else(String::new, |it| it.to_string()))
        };
        assert_eq!(shown("system:serviceaccount:web:api")?, "serviceaccount/web/api");
        assert_eq!(shown("system:node:ip-10-0-0-1.ec2.internal")?, "node/ip-10-0-0-1.ec2.internal");
        for nobody in ["", "system:anonymous", "alice@example.com", "system:kube-scheduler", "system:serviceaccounts"] {
            assert_eq!(shown(nobody)?, "");
        }
        for wrong in [
            "system:serviceaccount:",
            "system:serviceaccount:web",
            "system:serviceaccount:web:",
            "system:serviceaccount::api",
            "system:serviceaccount:web:api:x",
            "system:serviceaccount:../x:api",
            "system:node:",
            "system:node:../x",
        ] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
        Ok(())
    }
}
