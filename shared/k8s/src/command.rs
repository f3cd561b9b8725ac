//! What a person would type.

use std::borrow::Cow;

use stanch_core::{
    Order, Target,
    order::Mode,
    target::{Cluster, Ec2Instance, GceInstance},
};

use crate::NodeFacts;

/// A `kubectl` command. Clusters that are no context are named by whoever set the context up.
pub(crate) fn kubectl(cluster: &Cluster, arguments: &str) -> String {
    match cluster {
        Cluster::Context(context) => format!("kubectl --context {} {arguments}", quote(context.as_str())),
        _ => format!("kubectl {arguments}"),
    }
}

/// A word of a POSIX shell.
pub(crate) fn quote(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    let visible: String = word.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Cow::Owned(format!("'{}'", visible.replace('\'', r"'\''")))
}

/// The order for another responder, ready to paste.
pub fn next_order(responder: &str, incident: &stanch_core::IncidentId, target: Target) -> String {
    let order = Order {
        mode: Mode::Apply,
        incident: incident.clone(),
        target,
        options: serde_json::Value::Null,
        requested_by: None,
        protected: false,
    };
    // Orders are plain data; the fallback names at least the responder.
    serde_json::to_string(&order).map_or_else(|_| responder.to_owned(), |order| format!("{responder} {order}"))
}

/// The cloud instance behind a node, with the responder that saves its disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Machine {
    /// Fully known.
    Known(&'static str, Target),
    /// Known by name; the account is not in the node.
    Named(String),
}

impl NodeFacts {
    /// The machine that `spec.providerID` names: `aws:///ZONE/INSTANCE` (cloud-provider-aws) or
    /// `gce://PROJECT/ZONE/NAME` (cloud-provider-gcp). A node registers it itself, so every part is checked.
    pub fn machine(&self) -> Option<Machine> {
        let id = self.provider_id.as_deref()?;
        if let Some(rest) = id.strip_prefix("gce://") {
            let mut parts = rest.split('/');
            let (project, zone, name) = (parts.next()?, parts.next()?, parts.next()?);
            let instance = GceInstance {
                project: project.parse().ok()?,
                zone: zone.parse().ok()?,
                name: Some(name.parse().ok()?),
                id: None,
            };
            return parts.next().is_none().then(|| Machine::Known("gcp-snapshot-disks", instance.into()));
        }
        let (zone, id) = id.strip_prefix("aws://")?.trim_start_matches('/').split_once('/')?;
        let id = id.parse().ok()?;
        if let Cluster::Eks { account, region, .. } = &self.cluster {
            let instance = Ec2Instance { account: account.clone(), region: region.clone(), id };
            return Some(Machine::Known("aws-snapshot-volumes", instance.into()));
        }
        let zone: String = zone.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(30).collect();
        Some(Machine::Named(format!("{id} in {zone}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(cluster: &str, provider_id: &str) -> Option<Machine> {
        let object = serde_json::json!({"metadata": {"uid": "u"}, "spec": {"providerID": provider_id}});
        let name = "n".parse().expect("a name");
        NodeFacts::read(&cluster.parse().expect("a cluster"), &name, &object).expect("a node").machine()
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quote("a=b"), "a=b");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("a'; rm -rf /"), r"'a'\''; rm -rf /'");
        assert_eq!(quote("a\x1b[2J"), "'a?[2J'");
    }

    #[test]
    fn a_provider_id_names_the_machine() {
        let eks = "eks:123456789012/eu-central-1/prod";
        let Some(Machine::Known("aws-snapshot-volumes", target)) =
            node(eks, "aws:///eu-central-1a/i-0123456789abcdef0")
        else {
            panic!("an EC2 instance")
        };
        assert_eq!(target.to_string(), "i-0123456789abcdef0");
        assert_eq!(
            node("context:", "aws:///eu-central-1a/i-0123456789abcdef0"),
            Some(Machine::Named("i-0123456789abcdef0 in eu-central-1a".to_owned()))
        );
        let Some(Machine::Known("gcp-snapshot-disks", target)) =
            node("context:", "gce://acme-prod/europe-west1-b/node-b")
        else {
            panic!("a GCE instance")
        };
        assert_eq!(target.to_string(), "instance/europe-west1-b/node-b");
    }

    #[test]
    fn a_forged_provider_id_names_nothing() {
        for forged in
            ["gce://../../x", "aws:///$(x)/i-1", "gce://acme-prod/europe-west1-b/a/b", "kind://docker/x/y", ""]
        {
            assert_eq!(node("context:", forged), None, "{forged}");
        }
    }
}
