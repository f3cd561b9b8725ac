//! The pods of a node as a drain sees them, and the budgets that hold them.

use serde_json::Value;
use stanch_core::{
    Result,
    names::{KubeName, Namespace},
    target::Pod,
};

use crate::{KubeApi, List, PodFacts, Resource, Selector};

/// The kubelet's own pods show on the API server as mirrors: deleting one does not end it.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod on a node.
#[derive(Clone, Debug)]
pub struct Lodger {
    /// Which one.
    pub pod: PodFacts,
    /// It has volumes that end with it.
    pub empty_dir: bool,
    /// Stanch itself runs in it.
    pub ours: bool,
}

/// A `PodDisruptionBudget`.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    selector: Option<Selector>,
    /// How many pods it lets go now.
    pub allowed: i64,
}

impl Budget {
    /// Whether it holds this pod.
    pub fn holds(&self, lodger: &Lodger) -> bool {
        self.namespace == lodger.pod.namespace.as_str()
            && self.selector.as_ref().is_some_and(|selector| selector.matches(&lodger.pod.labels))
    }
}

impl Lodger {
    /// The mirror of a static pod.
    pub fn is_mirror(&self) -> bool {
        self.pod.annotations.contains_key(MIRROR)
    }

    /// Its namespace and name.
    pub fn name(&self) -> String {
        format!("{}/{}", self.pod.namespace, self.pod.name)
    }

    /// Whether it is the pod that an alert named.
    pub fn is(&self, pod: Option<&Pod>) -> bool {
        pod.is_some_and(|pod| pod.uid.as_ref() == Some(&self.pod.uid))
    }
}

impl KubeApi {
    /// Every pod of a node, those that have ended included. Paged.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list pods`.
    pub async fn lodgers(&self, node: &KubeName) -> Result<Vec<Lodger>> {
        let list = List { fields: format!("spec.nodeName={node}"), ..List::of(Resource::pods()) };
        self.list(&list, |item: Value| {
            let volumes = item.pointer("/spec/volumes").and_then(Value::as_array).into_iter().flatten();
            let empty_dir = volumes.into_iter().any(|volume| volume.get("emptyDir").is_some());
            let pod = PodFacts::read(self.cluster(), &item).ok()?;
            let ours = self.own().is_some_and(|own| own.is_pod(&pod));
            Some(Lodger { pod, empty_dir, ours })
        })
        .await
    }

    /// Every disruption budget of the cluster. Paged.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list poddisruptionbudgets`.
    pub async fn budgets(&self) -> Result<Vec<Budget>> {
        let resource = Resource::new("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget");
        self.list(&List::of(resource), |item: Value| {
            let text = |path: &str| item.pointer(path).and_then(Value::as_str).map(str::to_owned);
            Some(Budget {
                namespace: text("/metadata/namespace")?.parse::<Namespace>().ok()?.to_string(),
                name: text("/metadata/name")?.parse::<KubeName>().ok()?.to_string(),
                selector: item.pointer("/spec/selector").and_then(Selector::read),
                allowed: item.pointer("/status/disruptionsAllowed").and_then(Value::as_i64).unwrap_or(0),
            })
        })
        .await
    }

    /// How many nodes a selector selects.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list nodes`.
    pub async fn count_nodes(&self, selector: &str) -> Result<usize> {
        let list = List { labels: selector.to_owned(), metadata_only: true, ..List::of(Resource::nodes()) };
        Ok(self.list(&list, |_: Value| Some(())).await?.len())
    }
}
