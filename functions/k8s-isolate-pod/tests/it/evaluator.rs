//! Which flows `NetworkPolicy` objects let pass, from the text of the API alone: nothing of the product is used here.

use serde_json::Value;
use stanch_suite::kube::Cluster;

/// One end of a flow.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// A pod: namespace and name.
    Pod(String, String),
    /// An address outside of the cluster.
    Outside([u8; 4]),
}

/// A port and its protocol.
pub(crate) type Port = (&'static str, u64);

struct Seen {
    policies: Vec<Value>,
    namespaces: Vec<Value>,
    pods: Vec<Value>,
}

/// The flows from or to a pod that are allowed, of all that are tried: with every other pod and an outside address, on
/// every one of these ports.
pub(crate) fn allowed_flows(cluster: &Cluster, namespace: &str, pod: &str, ports: &[Port]) -> Vec<String> {
    let seen = Seen {
        policies: cluster.list("networking.k8s.io/v1/networkpolicies", ""),
        namespaces: cluster.list("v1/namespaces", ""),
        pods: cluster.list("v1/pods", ""),
    };
    let me = End::Pod(namespace.to_owned(), pod.to_owned());
    let mut peers = vec![End::Outside([198, 51, 100, 7])];
    for other in &seen.pods {
        let text = |field: &str| other["metadata"][field].as_str().unwrap().to_owned();
        if text("name") != pod {
            peers.push(End::Pod(text("namespace"), text("name")));
        }
    }
    let mut found = Vec::new();
    for peer in &peers {
        for &port in ports {
            for (from, to) in [(&me, peer), (peer, &me)] {
                if seen.passes(from, to, port) {
                    found.push(format!("{from:?} -> {to:?} {port:?}"));
                }
            }
        }
    }
    found
}

impl Seen {
    /// A flow passes if the sender may send it and the receiver may receive it.
    fn passes(&self, from: &End, to: &End, port: Port) -> bool {
        self.side(from, "egress", "Egress", "to", to, port) && self.side(to, "ingress", "Ingress", "from", from, port)
    }

    fn side(&self, of: &End, rules: &str, kind: &str, peers: &str, peer: &End, port: Port) -> bool {
        let End::Pod(namespace, _) = of else { return true };
        let labels = self.labels_of(of);
        let selecting: Vec<_> = self
            .policies
            .iter()
            .filter(|policy| policy["metadata"]["namespace"] == namespace.as_str())
            .filter(|policy| selects(&policy["spec"]["podSelector"], &labels))
            .filter(|policy| match policy["spec"]["policyTypes"].as_array() {
                Some(types) => types.iter().any(|it| it == kind),
                // Without a list: ingress always, egress if it has rules for it.
                None => kind == "Ingress" || policy["spec"].get("egress").is_some(),
            })
            .collect();
        if selecting.is_empty() {
            return true;
        }
        selecting.iter().any(|policy| {
            policy["spec"][rules].as_array().into_iter().flatten().any(|rule| {
                let by_peer = rule[peers]
                    .as_array()
                    .is_none_or(|list| list.is_empty() || list.iter().any(|it| self.is_peer(it, namespace, peer)));
                let by_port = rule["ports"]
                    .as_array()
                    .is_none_or(|list| list.is_empty() || list.iter().any(|it| is_port(it, port)));
                by_peer && by_port
            })
        })
    }

    fn labels_of(&self, end: &End) -> Value {
        let End::Pod(namespace, name) = end else { return Value::Null };
        let is = |pod: &&Value| {
            pod["metadata"]["namespace"] == namespace.as_str() && pod["metadata"]["name"] == name.as_str()
        };
        self.pods.iter().find(is).expect("a pod")["metadata"]["labels"].clone()
    }

    fn is_peer(&self, wanted: &Value, home: &str, peer: &End) -> bool {
        match peer {
            End::Outside(address) => wanted.get("ipBlock").is_some_and(|block| {
                within(*address, block["cidr"].as_str().unwrap())
                    && !block["except"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .any(|it| within(*address, it.as_str().unwrap()))
            }),
            End::Pod(namespace, _) => {
                let in_namespace = match wanted.get("namespaceSelector") {
                    Some(selector) => {
                        let found = self.namespaces.iter().find(|it| it["metadata"]["name"] == namespace.as_str());
                        selects(selector, &found.expect("a namespace")["metadata"]["labels"])
                    }
                    None => namespace == home,
                };
                let named = wanted.get("namespaceSelector").is_some() || wanted.get("podSelector").is_some();
                named && in_namespace && selects(&wanted["podSelector"], &self.labels_of(peer))
            }
        }
    }
}

fn is_port(wanted: &Value, (protocol, port): Port) -> bool {
    let same_protocol = wanted["protocol"].as_str().unwrap_or("TCP") == protocol;
    let first = wanted["port"].as_u64();
    let last = wanted["endPort"].as_u64().or(first);
    same_protocol && first.is_none_or(|first| first <= port && last.is_some_and(|last| port <= last))
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let by_label =
        selector["matchLabels"].as_object().into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    by_label
        && selector["matchExpressions"].as_array().into_iter().flatten().all(|it| {
            let label = labels.get(it["key"].as_str().unwrap());
            let listed = |label: &Value| it["values"].as_array().unwrap().contains(label);
            match it["operator"].as_str().unwrap() {
                "In" => label.is_some_and(listed),
                "NotIn" => !label.is_some_and(listed),
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                other => panic!("{other} is no operator"),
            }
        })
}

fn within(address: [u8; 4], cidr: &str) -> bool {
    let (network, length) = cidr.split_once('/').unwrap();
    let network: std::net::Ipv4Addr = network.parse().unwrap();
    let length: u32 = length.parse().unwrap();
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    u32::from_be_bytes(address) & mask == u32::from(network) & mask
}
