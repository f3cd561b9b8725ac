//! What is served: resources as data.

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) kind: String,
    pub(crate) namespaced: bool,
}

impl Served {
    pub(crate) fn new(group: &str, version: &str, plural: &str, kind: &str, namespaced: bool) -> Self {
        let own = str::to_owned;
        Self { group: own(group), version: own(version), plural: own(plural), kind: own(kind), namespaced }
    }

    /// `deployments.apps`, `pods`
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `apps/v1`, `v1`
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// What every cluster serves, as far as the responders use it. No controller stands behind any of it.
pub(crate) fn built_in() -> Vec<Served> {
    let rbac = "rbac.authorization.k8s.io";
    let admission = "admissionregistration.k8s.io";
    [
        ("", "v1", "namespaces", "Namespace", false),
        ("", "v1", "nodes", "Node", false),
        ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true),
        ("", "v1", "pods", "Pod", true),
        ("", "v1", "replicationcontrollers", "ReplicationController", true),
        ("", "v1", "serviceaccounts", "ServiceAccount", true),
        ("", "v1", "services", "Service", true),
        ("", "v1", "configmaps", "ConfigMap", true),
        ("", "v1", "secrets", "Secret", true),
        ("apps", "v1", "daemonsets", "DaemonSet", true),
        ("apps", "v1", "deployments", "Deployment", true),
        ("apps", "v1", "replicasets", "ReplicaSet", true),
        ("apps", "v1", "statefulsets", "StatefulSet", true),
        ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true),
        ("batch", "v1", "cronjobs", "CronJob", true),
        ("batch", "v1", "jobs", "Job", true),
        ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", true),
        ("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", false),
        ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true),
        (rbac, "v1", "clusterrolebindings", "ClusterRoleBinding", false),
        (rbac, "v1", "clusterroles", "ClusterRole", false),
        (rbac, "v1", "rolebindings", "RoleBinding", true),
        (rbac, "v1", "roles", "Role", true),
        (admission, "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", false),
        (admission, "v1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", false),
        (admission, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", false),
        (admission, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", false),
    ]
    .map(|(group, version, plural, kind, namespaced)| Served::new(group, version, plural, kind, namespaced))
    .into()
}
