//! No traffic by default.

use serde_json::{Value, json};
use stanch_core::{Error, Kind, Plan, Result};
use stanch_k8s::{Compare, List, NamespaceFacts, PolicySlot, Resource, UNENFORCED};

use crate::{KYVERNO, Options, Ours, said};

const NAME: &str = "stanch-default-deny";

pub(crate) async fn plan(
    ours: &mut Ours<'_>,
    namespace: &NamespaceFacts,
    options: &Options,
) -> Result<Plan<PolicySlot>> {
    let api = ours.api;
    if !options.assume_enforced && !api.policy_agents().await?.enforce() {
        let message = format!("{UNENFORCED}. If something does, set assume_enforced");
        return Err(Error::new(Kind::Unsupported, "plan", message).on(api.cluster().to_string()));
    }
    let policies = Resource::network_policies();
    let spec = spec(options.allow_dns);
    let policy = ours.object(&policies, Some(namespace.name()), NAME, json!({"spec": spec}), Compare::Exact).await?;
    let mut stage = vec![policy];
    if options.new_namespaces {
        let Some(cluster_policies) = api.serves(KYVERNO, "clusterpolicies").await? else {
            let message = "no built-in admission policy can create objects, and the cluster does not serve Kyverno's \
                           ClusterPolicy: wire this responder to the audit event of a namespace's creation instead";
            return Err(Error::new(Kind::Unsupported, "plan", message).on(api.cluster().to_string()));
        };
        // One per namespace that asked for it, so that each is undone on its own; the rule is the same.
        let name = format!("{NAME}-{}", namespace.name());
        stage.push(
            ours.object(&cluster_policies, None, &name, json!({"spec": generate(&spec)}), Compare::Contains).await?,
        );
    }
    let list = List::of(policies).within(namespace.name());
    let allowing = |policy: Value| {
        let rules = |direction: &str| {
            policy.pointer(&format!("/spec/{direction}")).and_then(Value::as_array).is_some_and(|it| !it.is_empty())
        };
        let name = policy.pointer("/metadata/name").and_then(Value::as_str)?.to_owned();
        (name != NAME && (rules("ingress") || rules("egress"))).then_some(name)
    };
    let others = api.list(&list, allowing).await?;
    let mut left = vec![said("it does not bind pods on their node's network")];
    if !others.is_empty() {
        let named: Vec<_> = others.iter().take(10).map(String::as_str).collect();
        let what = format!("{} policies go on allowing what they allow: {}", others.len(), named.join(", "));
        left.push(said(what));
    }
    Ok(Plan::empty().then(stage).leaving(left))
}

fn spec(allow_dns: bool) -> Value {
    let dns = json!([{
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    }]);
    json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": if allow_dns { dns } else { json!([]) }})
}

/// Kyverno: "Generate Rules": with `synchronize` what is generated goes with the policy.
fn generate(spec: &Value) -> Value {
    json!({
        "background": false,
        "rules": [{
            "name": "new-namespaces",
            "match": {"any": [{"resources": {"kinds": ["Namespace"], "operations": ["CREATE"]}}]},
            "generate": {
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "name": NAME,
                "namespace": "{{request.object.metadata.name}}", "synchronize": true,
                "data": {"spec": spec},
            },
        }],
    })
}
