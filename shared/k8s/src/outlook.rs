//! What is left of the attacker's after a pod was dealt with, each with the next order.

use stanch_core::{IncidentId, Remaining, Result, Target, target::Node};

use crate::{KubeApi, PodFacts, PodsFacts, next_order};

/// More names than a person reads.
const NAMED: usize = 5;

impl KubeApi {
    /// The other pods of the same owner: what ran in one may run in all.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Denied`] without `list pods`.
    pub async fn siblings(&self, pod: &PodFacts) -> Result<Vec<PodFacts>> {
        let Some(owner) = &pod.owner else { return Ok(Vec::new()) };
        let fields = format!("metadata.namespace={}", pod.namespace);
        let same = |it: &PodFacts| it.uid != pod.uid && it.owner.as_ref().is_some_and(|it| it.uid == owner.uid);
        self.pods_where(&fields, same).await
    }

    /// Siblings, node, machine and account of the pods that were dealt with; what was spared.
    pub async fn outlook(&self, facts: &PodsFacts, incident: &IncidentId, responder: &str) -> Vec<Remaining> {
        let mut left = Vec::new();
        for spared in &facts.spared {
            let PodFacts { namespace, name, .. } = &spared.pod;
            left.push(Remaining::new(format!("pod {namespace}/{name} is left alone: {}", spared.why)));
        }
        if let ([pod], None) = (facts.pods.as_slice(), &facts.workload) {
            left.extend(self.siblings_left(pod, incident, responder).await);
        }
        let mut nodes: Vec<_> = facts.pods.iter().filter_map(|pod| pod.node.clone()).collect();
        nodes.sort();
        nodes.dedup();
        for name in nodes.iter().take(NAMED) {
            let node = Node { cluster: self.cluster().clone(), name: name.clone(), uid: None };
            left.push(
                Remaining::new(format!("the node {name} and whatever else runs on it are untouched")).next(next_order(
                    "k8s-cordon-node",
                    incident,
                    node.into(),
                )),
            );
        }
        if nodes.len() > NAMED {
            left.push(Remaining::new(format!("and {} further nodes", nodes.len() - NAMED)));
        }
        let mut accounts: Vec<_> =
            facts.pods.iter().map(|pod| (&pod.namespace, pod.service_account.as_str())).collect();
        accounts.sort();
        accounts.dedup();
        for (namespace, name) in accounts.into_iter().take(NAMED) {
            let Ok(account) = (if name.is_empty() { "default" } else { name }).parse() else { continue };
            let target = stanch_core::target::ServiceAccount {
                cluster: self.cluster().clone(),
                namespace: namespace.clone(),
                name: account,
            };
            left.push(
                Remaining::new(format!("tokens of the service account {namespace}/{} are still good", target.name))
                    .next(next_order("k8s-revoke-access", incident, target.into())),
            );
        }
        left
    }

    async fn siblings_left(&self, pod: &PodFacts, incident: &IncidentId, responder: &str) -> Vec<Remaining> {
        let siblings = match self.siblings(pod).await {
            Ok(siblings) => siblings,
            // Containment does not wait for a count.
            Err(error) => return vec![Remaining::new(format!("its siblings are not listed: {error}"))],
        };
        let mut left: Vec<_> =
            siblings
                .iter()
                .take(NAMED)
                .map(|it| {
                    Remaining::new(format!("its sibling {}/{} goes on as before", it.namespace, it.name))
                        .next(next_order(responder, incident, Target::from(it.target())))
                })
                .collect();
        if siblings.len() > NAMED {
            left.push(Remaining::new(format!("and {} further siblings", siblings.len() - NAMED)));
        }
        left
    }
}
