//! Ourselves: the pod that we run in, which nothing of ours may contain.

use serde::Deserialize;
use stanch_core::Exemption;

use crate::PodFacts;

/// What a token that is bound to a pod says of the pod (Kubernetes: "Managing Service Accounts, Bound tokens"). Its
/// signature does not matter here: it is our own, and the API server checks it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Own {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    pod: Option<Named>,
    #[serde(default)]
    node: Option<Named>,
    #[serde(default, rename = "serviceaccount")]
    account: Option<Named>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    uid: String,
}

impl Own {
    /// Our own pod, and the other responders: the pods of our account in our namespace.
    pub(crate) fn is_pod(&self, pod: &PodFacts) -> bool {
        // A token that is bound to no pod comes from elsewhere: we run outside of the cluster.
        let Some(own) = &self.pod else { return false };
        let account = self.account.as_ref().is_some_and(|account| account.name == pod.service_account);
        own.uid == pod.uid.as_str() || (account && self.namespace == pod.namespace.as_str())
    }

    /// The account that we run as.
    pub(crate) fn is_account(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.account.as_ref().is_some_and(|account| account.name == name)
    }

    /// The user that we are to the API server.
    pub(crate) fn user(&self) -> Option<String> {
        let account = self.account.as_ref()?;
        Some(format!("system:serviceaccount:{}:{}", self.namespace, account.name))
    }

    /// The node that we run on.
    pub(crate) fn is_node(&self, name: &str) -> bool {
        self.pod.is_some() && self.node.as_ref().is_some_and(|node| node.name == name)
    }
}

/// Why it is left alone.
pub(crate) fn exemption(what: &str) -> Exemption {
    Exemption { mark: format!("being {what} that Stanch itself runs in"), forgeable: false }
}
