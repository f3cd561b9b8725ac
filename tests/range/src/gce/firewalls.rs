//! VPC firewall rules, checked as the service checks them, and what is in force on an interface.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::error::Refusal;
use super::instances::{find, strings};
use super::list::list;
use super::snapshots::check_name;
use super::state::{Effect, KeptFirewall, ROOT, Scope, State};
use super::turn::{Turn, last};

const UPDATE: &str = "compute.networks.updatePolicy";

pub(super) fn route(turn: &mut Turn<'_>, rest: &[&str]) -> Option<Result<Value, Refusal>> {
    let resource = turn.resource.clone();
    let here = format!("projects/{}", turn.project);
    Some(match (turn.asked.method.as_str(), rest) {
        ("GET", ["global", "networks", name]) => turn.need(&["compute.networks.get"], &resource).and_then(|()| {
            let known = turn.state.networks.contains(&(turn.project.clone(), (*name).to_owned()));
            let out = json!({"kind": "compute#network", "name": name, "id": "5", "autoCreateSubnetworks": true,
                "networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL",
                "selfLink": format!("{ROOT}/{resource}")});
            if known { Ok(out) } else { Err(Refusal::not_found(&resource)) }
        }),
        ("GET", ["global", "firewalls"]) => turn.need(&["compute.firewalls.list"], &here).and_then(|()| {
            let mut kept: Vec<_> = turn.state.firewalls.iter().filter(|kept| kept.project == turn.project).collect();
            kept.sort_by(|a, b| a.name.cmp(&b.name));
            let items = kept.into_iter().map(|kept| render(turn.state, kept)).collect();
            list("compute#firewallList", &resource, items, turn.asked, turn.state.page_size)
        }),
        ("GET", ["global", "firewalls", name]) => turn
            .need(&["compute.firewalls.get"], &resource)
            .and_then(|()| Ok(render(turn.state, held(turn, name, &resource)?))),
        ("POST", ["global", "firewalls"]) => insert(turn),
        ("PATCH", ["global", "firewalls", name]) => change(turn, name, true),
        ("PUT", ["global", "firewalls", name]) => change(turn, name, false),
        ("DELETE", ["global", "firewalls", name]) => delete(turn, name),
        _ => return None,
    })
}

fn held<'a>(turn: &'a Turn<'_>, name: &str, resource: &str) -> Result<&'a KeptFirewall, Refusal> {
    let found = turn
        .state
        .firewalls
        .iter()
        .find(|kept| kept.project == turn.project && (kept.name == name || name.parse() == Ok(kept.id)));
    found.ok_or_else(|| Refusal::not_found(resource))
}

fn network_of(project: &str, network: &str) -> String {
    format!("projects/{project}/global/networks/{network}")
}

fn insert(turn: &mut Turn<'_>) -> Result<Value, Refusal> {
    let body = turn.body()?;
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let resource = format!("projects/{}/global/firewalls/{name}", turn.project);
    turn.may(&["compute.firewalls.create"], &resource)?;
    let network = last(body.get("network").and_then(Value::as_str).unwrap_or("default")).to_owned();
    turn.need(&[UPDATE], &network_of(&turn.project, &network))?;
    if let Some(answer) = turn.repeated()? {
        return Ok(answer);
    }
    let kept = checked(turn.state, &turn.project, &body)?;
    let taken = |state: &State| state.firewalls.iter().any(|old| old.project == kept.project && old.name == kept.name);
    if taken(turn.state) {
        return Err(Refusal::exists(&resource));
    }
    // The name is taken from the moment on that the call is accepted; the rule is in force when it is done.
    let id = kept.id;
    let target = (format!("{ROOT}/{resource}"), id);
    let effect: Effect = Box::new(move |state| {
        if state.firewalls.iter().any(|old| old.project == kept.project && old.name == kept.name) {
            let message = format!("The resource '{resource}' already exists");
            return Err(super::OperationFailure::new("RESOURCE_ALREADY_EXISTS", 409, &message));
        }
        state.firewalls.push(kept);
        Ok(())
    });
    turn.start("insert", Scope::Global, target, effect)
}

/// `PATCH` keeps what is not given, `PUT` does not.
fn change(turn: &mut Turn<'_>, name: &str, merge: bool) -> Result<Value, Refusal> {
    let resource = turn.resource.clone();
    turn.may(&["compute.firewalls.update"], &resource)?;
    let kept = held(turn, name, &resource)?.clone();
    turn.need(&[UPDATE], &network_of(&turn.project, &kept.network))?;
    if let Some(answer) = turn.repeated()? {
        return Ok(answer);
    }
    let mut body = turn.body()?;
    let Some(given) = body.as_object_mut() else { return Err(Refusal::new(400, "required", "Required")) };
    if given.get("network").and_then(Value::as_str).is_some_and(|network| last(network) != kept.network) {
        return Err(Refusal::field("resource.network", "", "The network of a firewall cannot be changed."));
    }
    let mut whole = if merge { kept.rule.clone() } else { Map::new() };
    whole.append(given);
    whole.insert("name".into(), json!(kept.name));
    whole.insert("network".into(), json!(kept.network));
    let wanted = checked(turn.state, &turn.project, &Value::Object(whole))?;
    let (id, target) = (kept.id, (format!("{ROOT}/{resource}"), kept.id));
    let effect: Effect = Box::new(move |state| match state.firewalls.iter_mut().find(|old| old.id == id) {
        Some(old) => {
            old.rule = wanted.rule;
            Ok(())
        }
        None => Err(super::turn::vanished(&resource)),
    });
    turn.start(if merge { "patch" } else { "update" }, Scope::Global, target, effect)
}

fn delete(turn: &mut Turn<'_>, name: &str) -> Result<Value, Refusal> {
    let resource = turn.resource.clone();
    turn.may(&["compute.firewalls.delete"], &resource)?;
    if let Some(answer) = turn.repeated()? {
        return Ok(answer);
    }
    let kept = held(turn, name, &resource)?.clone();
    turn.need(&[UPDATE], &network_of(&turn.project, &kept.network))?;
    let target = (format!("{ROOT}/{resource}"), kept.id);
    let effect: Effect = Box::new(move |state| {
        state.firewalls.retain(|old| old.id != kept.id);
        Ok(())
    });
    turn.start("delete", Scope::Global, target, effect)
}

pub(super) fn seed(state: &mut State, project: &str, rule: &Value) -> Result<(), Refusal> {
    let network = last(rule.get("network").and_then(Value::as_str).unwrap_or("default")).to_owned();
    state.networks.insert((project.to_owned(), network));
    let kept = checked(state, project, rule)?;
    state.firewalls.retain(|old| old.project != project || old.name != kept.name);
    state.firewalls.push(kept);
    Ok(())
}

/// A rule with its defaults, or why it is none.
fn checked(state: &mut State, project: &str, body: &Value) -> Result<KeptFirewall, Refusal> {
    let bad = |field: &str, why: &str| Refusal::field(&format!("resource.{field}"), "", why);
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let name = text("name").unwrap_or_default().to_owned();
    check_name("resource.name", &name)?;
    let network = last(text("network").unwrap_or("default")).to_owned();
    if !state.networks.contains(&(project.to_owned(), network.clone())) {
        return Err(Refusal::not_found(&network_of(project, &network)));
    }
    let direction = text("direction").unwrap_or("INGRESS");
    let ingress = match direction {
        "INGRESS" => true,
        "EGRESS" => false,
        other => return Err(Refusal::field("resource.direction", other, "Must be INGRESS or EGRESS.")),
    };
    let priority = match body.get("priority") {
        None | Some(Value::Null) => 1000,
        Some(given) => given
            .as_u64()
            .filter(|given| *given <= 65535)
            .ok_or_else(|| bad("priority", "Must be greater than or equal to 0 and less than or equal to 65535."))?,
    };
    let mut rule = Map::new();
    let layers = |name: &str| body.get(name).and_then(Value::as_array).filter(|list| !list.is_empty());
    match (layers("allowed"), layers("denied")) {
        (Some(list), None) => drop(rule.insert("allowed".into(), protocols(list)?)),
        (None, Some(list)) => drop(rule.insert("denied".into(), protocols(list)?)),
        (None, None) => return Err(bad("allowed", "Either allowed or denied must be specified.")),
        _ => return Err(bad("allowed", "Only one of allowed and denied can be specified.")),
    }
    for list in ["sourceTags", "sourceServiceAccounts"] {
        if !ingress && !strings(body, list).is_empty() {
            return Err(bad(list, "Cannot be specified for an EGRESS rule."));
        }
    }
    if !strings(body, "targetTags").is_empty() && !strings(body, "targetServiceAccounts").is_empty() {
        return Err(bad("targetTags", "Cannot be specified together with targetServiceAccounts."));
    }
    for list in ["sourceTags", "targetTags"] {
        strings(body, list).iter().try_for_each(|tag| check_name(&format!("resource.{list}"), tag))?;
    }
    let mut families = Vec::new();
    for list in ["sourceRanges", "destinationRanges"] {
        for range in strings(body, list) {
            families.push(family(&range).ok_or_else(|| {
                Refusal::field(&format!("resource.{list}"), &range, "Must be a valid CIDR address range.")
            })?);
        }
    }
    if families.contains(&4) && families.contains(&6) {
        return Err(bad("sourceRanges", "IPv4 and IPv6 ranges cannot be mixed in one firewall rule."));
    }
    for list in [
        "sourceRanges",
        "destinationRanges",
        "sourceTags",
        "sourceServiceAccounts",
        "targetTags",
        "targetServiceAccounts",
    ] {
        let given = strings(body, list);
        if !given.is_empty() {
            rule.insert(list.into(), json!(given));
        }
    }
    let from_anywhere =
        !["sourceRanges", "sourceTags", "sourceServiceAccounts"].iter().any(|list| rule.contains_key(*list));
    if ingress && from_anywhere {
        rule.insert("sourceRanges".into(), json!(["0.0.0.0/0"]));
    } else if !ingress && !rule.contains_key("destinationRanges") {
        rule.insert("destinationRanges".into(), json!(["0.0.0.0/0"]));
    }
    rule.insert("direction".into(), json!(direction));
    rule.insert("priority".into(), json!(priority));
    rule.insert("description".into(), json!(text("description").unwrap_or_default()));
    rule.insert("disabled".into(), json!(body.get("disabled").and_then(Value::as_bool).unwrap_or(false)));
    let logged = body.pointer("/logConfig/enable").and_then(Value::as_bool).unwrap_or(false);
    let log =
        if logged { json!({"enable": true, "metadata": "INCLUDE_ALL_METADATA"}) } else { json!({"enable": false}) };
    rule.insert("logConfig".into(), log);
    let (id, created) = (state.id(), state.now());
    Ok(KeptFirewall { id, project: project.to_owned(), name, network, created, rule })
}

fn protocols(list: &[Value]) -> Result<Value, Refusal> {
    let bad = |why: &str| Refusal::field("resource.allowed[0].IPProtocol", "", why);
    for layer in list {
        let protocol = layer.get("IPProtocol").and_then(Value::as_str).ok_or_else(|| bad("Required."))?;
        let named = ["all", "tcp", "udp", "icmp", "esp", "ah", "sctp", "ipip"].contains(&protocol);
        if !named && protocol.parse::<u8>().is_err() {
            return Err(Refusal::field("resource.allowed[0].IPProtocol", protocol, "Unknown protocol."));
        }
        let ports = strings(layer, "ports");
        if !ports.is_empty() && !["tcp", "udp", "sctp", "6", "17", "132"].contains(&protocol) {
            return Err(bad("Ports may only be specified for TCP, UDP and SCTP."));
        }
        for port in ports {
            let ends: Vec<_> = port.split('-').map(str::parse::<u16>).collect();
            if ends.len() > 2 || ends.iter().any(Result::is_err) {
                return Err(Refusal::field(
                    "resource.allowed[0].ports[0]",
                    &port,
                    "Must be a port or a range of ports.",
                ));
            }
        }
    }
    Ok(Value::Array(list.to_vec()))
}

/// 4 or 6.
fn family(range: &str) -> Option<u8> {
    let (address, bits) = range.split_once('/').unwrap_or((range, ""));
    let (family, most) = match address.parse().ok()? {
        IpAddr::V4(_) => (4, 32),
        IpAddr::V6(_) => (6, 128),
    };
    (bits.is_empty() || bits.parse::<u8>().ok()? <= most).then_some(family)
}

fn render(state: &State, kept: &KeptFirewall) -> Value {
    let mut out = kept.rule.clone();
    let resource = format!("projects/{}/global/firewalls/{}", kept.project, kept.name);
    out.insert("kind".into(), json!("compute#firewall"));
    out.insert("id".into(), json!(kept.id.to_string()));
    out.insert("name".into(), json!(kept.name));
    out.insert("network".into(), json!(format!("{ROOT}/{}", network_of(&kept.project, &kept.network))));
    out.insert("creationTimestamp".into(), json!(state.stamp(kept.created)));
    out.insert("selfLink".into(), json!(format!("{ROOT}/{resource}")));
    Value::Object(out)
}

/// `getEffectiveFirewalls` of one interface: the policies above, and the rules of its network that aim at it.
pub(super) fn effective(turn: &mut Turn<'_>, zone: &str, name: &str) -> Result<Value, Refusal> {
    let resource = format!("projects/{}/zones/{zone}/instances/{name}", turn.project);
    turn.need(&["compute.instances.getEffectiveFirewalls"], &resource)?;
    if name.bytes().all(|c| c.is_ascii_digit()) {
        // The one call about instances that takes no number.
        return Err(Refusal::field("instance", name, "Must be a match of regex '[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?'"));
    }
    let kept = find(turn, zone, name, &resource)?;
    let nic = turn.required("networkInterface")?;
    let at = nic.strip_prefix("nic").and_then(|at| at.parse::<usize>().ok());
    let nic = at
        .and_then(|at| kept.seed.nics.get(at))
        .ok_or_else(|| Refusal::field("networkInterface", &nic, "The specified network interface does not exist."))?;
    let aims = |rule: &KeptFirewall| {
        let list = |name: &str| strings(&Value::Object(rule.rule.clone()), name);
        let (tags, accounts) = (list("targetTags"), list("targetServiceAccounts"));
        let account = kept.seed.account.as_ref().map(|(email, _)| email);
        (tags.is_empty() && accounts.is_empty())
            || tags.iter().any(|tag| kept.seed.tags.contains(tag))
            || accounts.iter().any(|email| Some(email) == account)
    };
    let rules: Vec<Value> = turn
        .state
        .firewalls
        .iter()
        .filter(|rule| rule.project == turn.project && rule.network == nic.network && aims(rule))
        .map(|rule| render(turn.state, rule))
        .collect();
    let policies: Vec<Value> = turn
        .state
        .policies
        .iter()
        .filter(|kept| kept.project == turn.project)
        .map(|kept| kept.policy.clone())
        .collect();
    Ok(json!({"firewallPolicys": policies, "firewalls": rules}))
}
