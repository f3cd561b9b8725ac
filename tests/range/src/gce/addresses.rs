//! External addresses: what is reserved, and what an interface has.

use serde_json::{Value, json};

use super::api::permit;
use super::error::Refusal;
use super::instances::find;
use super::list::list;
use super::model::OperationFailure;
use super::render::fingerprint;
use super::seeds::{Access, KeptAddress, Nic};
use super::state::{Effect, KeptInstance, ROOT, Scope, State};
use super::turn::{Turn, vanished};

type Edit = Box<dyn FnOnce(&mut KeptInstance) -> Result<(), OperationFailure> + Send>;

pub(super) fn route(turn: &mut Turn<'_>, rest: &[&str]) -> Option<Result<Value, Refusal>> {
    let ["regions", region, "addresses", tail @ ..] = rest else { return None };
    if !turn.get() {
        return None;
    }
    let resource = turn.resource.clone();
    Some(match tail {
        [] => {
            let here = format!("projects/{}", turn.project);
            turn.need(&["compute.addresses.list"], &here).and_then(|()| {
                let of = |kept: &&KeptAddress| kept.project == turn.project && kept.region == *region;
                let items = turn.state.addresses.iter().filter(of).map(|kept| render(turn.state, kept)).collect();
                list("compute#addressList", &resource, items, turn.asked, turn.state.page_size)
            })
        }
        [name] => turn.need(&["compute.addresses.get"], &resource).and_then(|()| {
            let found = turn
                .state
                .addresses
                .iter()
                .find(|kept| kept.project == turn.project && kept.region == *region && kept.name == *name);
            found.map(|kept| render(turn.state, kept)).ok_or_else(|| Refusal::not_found(&resource))
        }),
        _ => return None,
    })
}

fn render(state: &State, kept: &KeptAddress) -> Value {
    let KeptAddress { id, project, region, name, address } = kept;
    let users: Vec<String> = state
        .instances
        .iter()
        .filter(|instance| {
            let mut held = instance.seed.nics.iter().flat_map(|nic| nic.access.iter().chain(&nic.ipv6_access));
            held.any(|access| access.address.as_ref() == Some(address))
        })
        .map(|instance| format!("{ROOT}/{}", instance.resource()))
        .collect();
    let mut out = json!({
        "kind": "compute#address",
        "id": id.to_string(),
        "name": name,
        "address": address,
        "addressType": "EXTERNAL",
        "ipVersion": if address.contains(':') { "IPV6" } else { "IPV4" },
        "networkTier": "PREMIUM",
        "status": if users.is_empty() { "RESERVED" } else { "IN_USE" },
        "region": format!("{ROOT}/projects/{project}/regions/{region}"),
        "selfLink": format!("{ROOT}/projects/{project}/regions/{region}/addresses/{name}"),
        "creationTimestamp": "2026-01-01T00:00:00.000Z",
    });
    if let (false, Some(fields)) = (users.is_empty(), out.as_object_mut()) {
        fields.insert("users".into(), json!(users));
    }
    out
}

fn interface<'a>(kept: &'a KeptInstance, name: &str) -> Result<(usize, &'a Nic), Refusal> {
    let at = name.strip_prefix("nic").and_then(|at| at.parse::<usize>().ok());
    at.and_then(|at| Some((at, kept.seed.nics.get(at)?)))
        .ok_or_else(|| Refusal::field("networkInterface", name, "The specified network interface does not exist."))
}

pub(super) fn delete(turn: &mut Turn<'_>, kept: &KeptInstance) -> Result<Edit, Refusal> {
    let (name, nic) = (turn.required("accessConfig")?, turn.required("networkInterface")?);
    let (at, found) = interface(kept, &nic)?;
    if !found.access.iter().chain(&found.ipv6_access).any(|access| access.name == name) {
        let why = "The specified access config does not exist.";
        return Err(Refusal::field("accessConfig", &name, why));
    }
    Ok(Box::new(move |kept| {
        if let Some(nic) = kept.seed.nics.get_mut(at) {
            nic.access.retain(|access| access.name != name);
            nic.ipv6_access.retain(|access| access.name != name);
        }
        Ok(())
    }))
}

/// With a reserved address that is free, or with a new ephemeral one.
pub(super) fn add(turn: &mut Turn<'_>, zone: &str, name: &str) -> Result<Value, Refusal> {
    let resource = format!("projects/{}/zones/{zone}/instances/{name}", turn.project);
    turn.may(&["compute.instances.addAccessConfig"], &resource)?;
    let kept = find(turn, zone, name, &resource)?;
    if let Some(answer) = turn.repeated()? {
        return Ok(answer);
    }
    let (nic, body) = (turn.required("networkInterface")?, turn.body()?);
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (at, found) = interface(&kept, &nic)?;
    let v6 = text("type") == Some("DIRECT_IPV6");
    let held = if v6 { &found.ipv6_access } else { &found.access };
    if !held.is_empty() {
        let why = "At most one access config currently supported.";
        return Err(Refusal::field("resource.accessConfigs", "", why));
    }
    if v6
        && found.ipv6.is_none()
        && kept.seed.nics.iter().all(|nic| nic.ipv6.is_none())
        && text("externalIpv6").is_none()
    {
        return Err(Refusal::field("resource.type", "DIRECT_IPV6", "The subnetwork has no external IPv6 range."));
    }
    let subnet =
        format!("projects/{}/regions/{}/subnetworks/{}", turn.project, super::model::region_of(zone), found.network);
    turn.noted.permissions.push("compute.subnetworks.useExternalIp");
    permit(turn.state, turn.asked, "compute.subnetworks.useExternalIp", &subnet)?;
    let wanted = text(if v6 { "externalIpv6" } else { "natIP" }).map(str::to_owned);
    if let Some(address) = &wanted {
        reserved(turn, zone, address)?;
    }
    let access = Access {
        name: text("name").unwrap_or(if v6 { "external-ipv6" } else { "External NAT" }).to_owned(),
        address: wanted,
        tier: text("networkTier").unwrap_or("PREMIUM").to_owned(),
        ptr: text("publicPtrDomainName").map(str::to_owned),
    };
    let (id, target) = (kept.id, (format!("{ROOT}/{resource}"), kept.id));
    let effect: Effect = Box::new(move |state| {
        let fresh = if v6 { "2600:1900:4010:99::".to_owned() } else { state.ephemeral() };
        let kept = state.by_id(id).ok_or_else(|| vanished(&resource))?;
        if let Some(nic) = kept.seed.nics.get_mut(at) {
            let address = access.address.clone().unwrap_or(fresh);
            let list = if v6 { &mut nic.ipv6_access } else { &mut nic.access };
            list.push(Access { address: Some(address), ..access });
        }
        Ok(())
    });
    turn.start("addAccessConfig", Scope::Zone(zone.to_owned()), target, effect)
}

fn reserved(turn: &mut Turn<'_>, zone: &str, address: &str) -> Result<(), Refusal> {
    let region = super::model::region_of(zone);
    let found = turn
        .state
        .addresses
        .iter()
        .find(|kept| kept.project == turn.project && kept.region == region && kept.address == address);
    let Some(found) = found.cloned() else {
        let why = format!("The specified external IP address '{address}' was not found in region '{region}'.");
        return Err(Refusal::field("resource.natIP", address, &why));
    };
    let resource = format!("projects/{}/regions/{region}/addresses/{}", turn.project, found.name);
    turn.need(&["compute.addresses.use"], &resource)?;
    if render(turn.state, &found).get("users").is_some() {
        let why = format!("The resource '{resource}' is already being used.");
        return Err(Refusal::new(400, "resourceInUseByAnotherResource", why));
    }
    Ok(())
}

/// `networkInterfaces` of an instance.
pub(super) fn interfaces(kept: &KeptInstance) -> Vec<Value> {
    let (project, region) = (&kept.seed.project, super::model::region_of(&kept.seed.zone));
    let one = |(at, nic): (usize, &Nic)| {
        let mut out = json!({
            "kind": "compute#networkInterface",
            "name": format!("nic{at}"),
            "network": format!("{ROOT}/projects/{project}/global/networks/{}", nic.network),
            "subnetwork": format!("{ROOT}/projects/{project}/regions/{region}/subnetworks/{}", nic.network),
            "networkIP": nic.ip,
            "stackType": if nic.ipv6.is_some() || !nic.ipv6_access.is_empty() { "IPV4_IPV6" } else { "IPV4_ONLY" },
            "fingerprint": fingerprint(&(kept.id, at, format!("{nic:?}"))),
        });
        let Some(fields) = out.as_object_mut() else { return out };
        if !nic.access.is_empty() {
            fields.insert("accessConfigs".into(), nic.access.iter().map(|access| config(access, false)).collect());
        }
        if let Some(address) = &nic.ipv6 {
            fields.insert("ipv6Address".into(), json!(address));
            fields.insert("ipv6AccessType".into(), json!("INTERNAL"));
        }
        if !nic.ipv6_access.is_empty() {
            fields.insert("ipv6AccessType".into(), json!("EXTERNAL"));
            let configs = nic.ipv6_access.iter().map(|access| config(access, true)).collect();
            fields.insert("ipv6AccessConfigs".into(), configs);
        }
        out
    };
    kept.seed.nics.iter().enumerate().map(one).collect()
}

fn config(access: &Access, v6: bool) -> Value {
    let mut out = json!({
        "kind": "compute#accessConfig",
        "type": if v6 { "DIRECT_IPV6" } else { "ONE_TO_ONE_NAT" },
        "name": access.name,
        "networkTier": access.tier,
    });
    let Some(fields) = out.as_object_mut() else { return out };
    if let Some(address) = &access.address {
        fields.insert(if v6 { "externalIpv6" } else { "natIP" }.into(), json!(address));
        if v6 {
            fields.insert("externalIpv6PrefixLength".into(), json!(96));
        }
    }
    if let Some(name) = &access.ptr {
        fields.insert("setPublicPtr".into(), json!(true));
        fields.insert("publicPtrDomainName".into(), json!(name));
    }
    out
}
