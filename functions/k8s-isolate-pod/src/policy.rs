//! The policy that denies, in the language of each engine.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stanch_core::{Error, Result, names::KubeName, target::Cluster};
use stanch_k8s::{Compare, ISOLATE, Object, ObjectRef, Resource};

use crate::{Options, engine::Engine};

/// The rules of one isolation: what is denied, and what is allowed all the same.
#[derive(Clone, Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) options: &'a Options,
    pub(crate) cluster: &'a Cluster,
}

impl Rules<'_> {
    /// The value of the label that the policy selects: another one for other rules, so that two isolations with
    /// different exceptions do not share a policy.
    pub(crate) fn id(&self) -> String {
        let Options { allow_dns, allow_cidr, .. } = self.options;
        let text = json!([self.engine.name(), allow_dns, allow_cidr]).to_string();
        let number = Sha256::digest(text).iter().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
        format!("{number:08x}")
    }

    /// The objects for the pods of a namespace.
    pub(crate) fn objects(&self, namespace: &str) -> Result<Vec<Object>> {
        let mut objects = match self.engine {
            Engine::Kubernetes { .. } => vec![self.network_policy(namespace)?],
            // It knows no peers outside of the cluster: those are the other policy's.
            Engine::Admin(resource) => vec![self.network_policy(namespace)?, self.admin(resource)?],
            Engine::Cilium(resource) => vec![self.cilium(resource, namespace)?],
            Engine::Calico(resource) => vec![self.calico(resource)?],
        };
        for object in &mut objects {
            object.shared = true;
            object.disruption = stanch_core::Disruption::Pod;
        }
        Ok(objects)
    }

    fn name(&self) -> String {
        format!("stanch-isolate-{}", self.id())
    }

    fn object(&self, resource: &Resource, namespace: Option<&str>, name: &str, spec: &Value) -> Result<Object> {
        let name: KubeName = name.parse()?;
        let mut metadata = json!({"name": name.as_str(), "labels": {"app.kubernetes.io/managed-by": "stanch"}});
        let parsed = namespace.map(str::parse).transpose()?;
        if let (Some(namespace), Some(fields)) = (namespace, metadata.as_object_mut()) {
            fields.insert("namespace".to_owned(), namespace.into());
        }
        let manifest =
            json!({"apiVersion": resource.api_version(), "kind": resource.kind, "metadata": metadata, "spec": spec});
        let object =
            ObjectRef { cluster: self.cluster.clone(), resource: resource.clone(), namespace: parsed, name, uid: None };
        Ok(Object::ours(object, manifest))
    }

    fn network_policy(&self, namespace: &str) -> Result<Object> {
        let (mut ingress, mut egress) = (Vec::new(), Vec::new());
        if !self.options.allow_cidr.is_empty() {
            let blocks: Vec<_> =
                self.options.allow_cidr.iter().map(|cidr| json!({"ipBlock": {"cidr": cidr}})).collect();
            ingress.push(json!({"from": blocks}));
            egress.push(json!({"to": blocks}));
        }
        if self.options.allow_dns {
            let dns = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}});
            egress.push(json!({"to": [dns],
                "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}));
        }
        let spec = json!({"podSelector": {"matchLabels": {ISOLATE: self.id()}},
            "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": egress});
        self.object(&Resource::network_policies(), Some(namespace), &self.name(), &spec)
    }

    /// Network Policy API, v1alpha1: the lowest priority number is asked first, and a deny is final.
    fn admin(&self, resource: &Resource) -> Result<Object> {
        self.plain("admin")?;
        let everywhere = json!([{"namespaces": {}}]);
        let subject = json!({"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {ISOLATE: self.id()}}}});
        let spec = json!({"priority": 0, "subject": subject,
            "ingress": [{"name": "deny", "action": "Deny", "from": everywhere}],
            "egress": [{"name": "deny", "action": "Deny", "to": everywhere}]});
        self.object(resource, None, &self.name(), &spec)
    }

    /// Cilium: "Deny Policies": they win over whatever allows.
    fn cilium(&self, resource: &Resource, namespace: &str) -> Result<Object> {
        self.plain("cilium")?;
        let spec = json!({"description": "isolated by stanch", "endpointSelector": {"matchLabels": {ISOLATE: self.id()}},
            "ingressDeny": [{"fromEntities": ["all"]}], "egressDeny": [{"toEntities": ["all"]}]});
        let object = self.object(resource, Some(namespace), &self.name(), &spec)?;
        Ok(Object { compare: Compare::Contains, ..object })
    }

    /// Calico: "Global network policy": the lowest order of a tier is asked first, and the first rule that matches
    /// decides.
    fn calico(&self, resource: &Resource) -> Result<Object> {
        let mut ingress: Vec<Value> = Vec::new();
        let mut egress: Vec<Value> = Vec::new();
        if !self.options.allow_cidr.is_empty() {
            ingress.push(json!({"action": "Allow", "source": {"nets": self.options.allow_cidr}}));
            egress.push(json!({"action": "Allow", "destination": {"nets": self.options.allow_cidr}}));
        }
        if self.options.allow_dns {
            for protocol in ["UDP", "TCP"] {
                let dns = json!({"namespaceSelector": "projectcalico.org/name == 'kube-system'",
                    "selector": "k8s-app == 'kube-dns'", "ports": [53]});
                egress.push(json!({"action": "Allow", "protocol": protocol, "destination": dns}));
            }
        }
        ingress.push(json!({"action": "Deny"}));
        egress.push(json!({"action": "Deny"}));
        let spec = json!({"tier": "default", "order": -1000, "selector": format!("{ISOLATE} == '{}'", self.id()),
            "types": ["Ingress", "Egress"], "ingress": ingress, "egress": egress});
        let object = self.object(resource, None, &format!("default.{}", self.name()), &spec)?;
        Ok(Object { compare: Compare::Contains, ..object })
    }

    /// A deny of these engines leaves no exceptions.
    fn plain(&self, engine: &str) -> Result<()> {
        if self.options.allow_dns || !self.options.allow_cidr.is_empty() {
            let message = format!("an exception needs engine kubernetes or calico: a deny of {engine} is final");
            return Err(Error::invalid("options.engine", message));
        }
        Ok(())
    }
}
