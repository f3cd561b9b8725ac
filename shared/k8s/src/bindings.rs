//! Role bindings: whom they give what.

use http::{Request, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stanch_core::{
    Error, Kind, Result,
    names::{KubeUid, Namespace, PathName},
    target::Cluster,
};

use crate::{
    FIELD_MANAGER, KubeApi, List, Resource, Subjects, Who,
    error::Call,
    facts::{strings, uid},
    patch::Patch,
    wire::{self, escape, get, parse},
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// A binding, by name and UID. Its name is no [`stanch_core::names::KubeName`]: it may hold colons and more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRef {
    /// Its cluster.
    pub cluster: Cluster,
    /// Its namespace; a `ClusterRoleBinding` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// Its name.
    pub name: PathName,
    /// Its UID.
    pub uid: KubeUid,
}

/// A `RoleBinding` or `ClusterRoleBinding`.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Which one.
    pub object: BindingRef,
    /// The kind and name of the role that it gives.
    pub role: (String, String),
    /// Whom.
    pub subjects: Vec<Value>,
    /// The API server makes it, and puts it right when it starts.
    pub is_default: bool,
}

impl BindingRef {
    fn plural(&self) -> &'static str {
        if self.namespace.is_some() { "rolebindings" } else { "clusterrolebindings" }
    }

    fn path(&self) -> String {
        let (plural, name) = (self.plural(), escape(self.name.as_str()));
        match &self.namespace {
            Some(namespace) => format!("/apis/{GROUP}/v1/namespaces/{namespace}/{plural}/{name}"),
            None => format!("/apis/{GROUP}/v1/{plural}/{name}"),
        }
    }

    fn text(&self) -> String {
        let kind = self.plural().trim_end_matches('s');
        match &self.namespace {
            Some(namespace) => format!("{kind}/{namespace}/{}", self.name),
            None => format!("{kind}/{}", self.name),
        }
    }

    /// As a sentence names it.
    pub(crate) fn words(&self) -> String {
        let kind = self.plural().trim_end_matches('s');
        match &self.namespace {
            Some(namespace) => format!("{kind} {} in {namespace}", self.name),
            None => format!("{kind} {}", self.name),
        }
    }

    /// As `kubectl` takes it.
    pub(crate) fn kubectl(&self) -> String {
        let (kind, name) = (self.plural().trim_end_matches('s'), crate::command::quote(self.name.as_str()));
        match &self.namespace {
            Some(namespace) => format!("-n {namespace} {kind} {name}"),
            None => format!("{kind} {name}"),
        }
    }

    pub(crate) fn error(&self, verb: &str, kind: Kind, message: &str) -> Error {
        Error::new(kind, format!("{verb} {}.{GROUP}", self.plural()), message).on(self.text())
    }

    /// The binding, if it is still this one.
    pub(crate) async fn get(&self, api: &KubeApi) -> Result<Value> {
        let (resource, object) = (format!("{}.{GROUP}", self.plural()), self.text());
        let call = Call { verb: "get", resource: &resource, object: &object };
        let binding: Value = parse(call, &wire::send(api.client(), call, get(&self.path()), Vec::new()).await?)?;
        if uid(&binding).as_ref() != Some(&self.uid) {
            return Err(self.error("get", Kind::NotFound, "it is gone; another one has its name now"));
        }
        Ok(binding)
    }

    pub(crate) async fn patch(&self, api: &KubeApi, patch: &Patch) -> Result<()> {
        let (resource, object) = (format!("{}.{GROUP}", self.plural()), self.text());
        let call = Call { verb: "patch", resource: &resource, object: &object };
        let request = Request::patch(format!("{}?fieldManager={FIELD_MANAGER}", self.path()))
            .header(header::CONTENT_TYPE, patch.media_type());
        wire::send(api.client(), call, request, patch.body()).await.map(drop)
    }
}

impl Binding {
    /// The place of an identity in it.
    pub fn subjects_of(&self, who: &Who) -> Subjects {
        Subjects { binding: self.object.clone(), role: self.role.clone(), who: who.clone() }
    }

    /// Its subjects that stand for an identity.
    pub fn naming(&self, who: &Who) -> Vec<Value> {
        self.subjects.iter().filter(|subject| who.is(subject)).cloned().collect()
    }

    /// As a sentence names it.
    pub fn words(&self) -> String {
        let (kind, role) = &self.role;
        let scope = self.object.namespace.as_ref().map(|it| format!(" in {it}")).unwrap_or_default();
        format!("{}{scope} ({kind} {role})", self.object.name)
    }
}

impl KubeApi {
    /// The bindings of the whole cluster that `wanted` picks. Paged.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list` on both kinds.
    pub async fn bindings(&self, wanted: impl Fn(&Binding) -> bool) -> Result<Vec<Binding>> {
        let mut found = Vec::new();
        for (plural, kind) in [("clusterrolebindings", "ClusterRoleBinding"), ("rolebindings", "RoleBinding")] {
            let list = List::of(Resource::new(GROUP, "v1", plural, kind));
            let pick = |item: Value| match self.binding(&item) {
                None => Some(None),
                Some(binding) => wanted(&binding).then_some(Some(binding)),
            };
            found.extend(self.list(&list, pick).await?);
        }
        // One that is passed over in silence would be where the attacker's rights stay.
        let message = "a binding has a name that cannot be written in a path";
        let strange = || Error::new(Kind::Internal, format!("list rolebindings.{GROUP}"), message);
        found.into_iter().map(|binding| binding.ok_or_else(strange)).collect()
    }

    fn binding(&self, item: &Value) -> Option<Binding> {
        let text = |path: &str| item.pointer(path).and_then(Value::as_str);
        let labels = strings(item, "/metadata/labels");
        Some(Binding {
            object: BindingRef {
                cluster: self.cluster().clone(),
                namespace: match text("/metadata/namespace") {
                    Some(namespace) => Some(namespace.parse().ok()?),
                    None => None,
                },
                name: text("/metadata/name")?.parse().ok()?,
                uid: uid(item)?,
            },
            role: (text("/roleRef/kind")?.to_owned(), text("/roleRef/name")?.to_owned()),
            subjects: item.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default(),
            is_default: labels.get("kubernetes.io/bootstrapping").is_some_and(|value| value == "rbac-defaults"),
        })
    }
}
