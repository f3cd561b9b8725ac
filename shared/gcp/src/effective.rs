//! What still lets traffic through beside our rules: `getEffectiveFirewalls`, read for a person.
//!
//! Hierarchical policies are asked before VPC rules, so an allow there wins over any deny of ours; an allow among the VPC
//! rules wins over our ingress deny only with priority 0, and over our egress deny, which has priority 0 itself, never:
//! at one priority, deny wins. Sources: Cloud NGFW "Firewall policy and rule evaluation order", "VPC firewall rules,
//! priority".

use google_cloud_compute_v1::model::{
    FirewallPolicyRule, InstancesGetEffectiveFirewallsResponseEffectiveFirewallPolicy as Policy,
    firewall_policy_rule::Direction as Way, instances_get_effective_firewalls_response_effective_firewall_policy::Type,
};
use stanch_core::{Result, names::GceName};

use crate::{
    api::GceApi,
    facts::{InstanceRef, Nic},
    fault,
    firewall::{Direction, Rule},
    mark::plain,
};

impl GceApi {
    /// What lets traffic of an interface through although a rule set of ours denies it; each in words.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn loopholes(&self, vm: &InstanceRef, nic: &Nic, ours: &[GceName]) -> Result<Vec<String>> {
        // This call takes no number (discovery document, pattern of `instance`); the look before was by number.
        let call = self.clients.instances().await?.get_effective_firewalls().set_project(vm.project.as_str());
        let call =
            call.set_zone(vm.zone.as_str()).set_instance(vm.name.as_str()).set_network_interface(nic.name.as_str());
        let failed = |error| fault::call("compute.instances.getEffectiveFirewalls", &vm.named(), &error);
        let answer = call.send().await.map_err(failed)?;
        let mut found = Vec::new();
        for shown in &answer.firewalls {
            let (rule, name) = (Rule::read(shown), shown.name.as_deref().unwrap_or("without a name"));
            let wins = rule.direction == Direction::Ingress && rule.priority == 0 && !rule.allowed.is_empty();
            if wins && !rule.disabled && !ours.iter().any(|one| one.as_str() == name) {
                let name = plain(name, 63);
                found.push(format!("the firewall rule {name} (priority 0) lets ingress through on {}", nic.name));
            }
        }
        for policy in &answer.firewall_policys {
            let allows =
                |rule: &&FirewallPolicyRule| rule.action.as_deref() == Some("allow") && !rule.disabled.unwrap_or(false);
            found.extend(policy.rules.iter().filter(allows).map(|rule| told(policy, rule, nic)));
        }
        Ok(found)
    }
}

fn told(policy: &Policy, rule: &FirewallPolicyRule, nic: &Nic) -> String {
    let names = [&policy.short_name, &policy.name];
    let name = names.into_iter().flatten().find(|name| !name.is_empty());
    let matcher = rule.r#match.clone().unwrap_or_default();
    let layers: Vec<_> = matcher
        .layer_4_configs
        .iter()
        .map(|layer| {
            let protocol = layer.ip_protocol.as_deref().unwrap_or("all");
            if layer.ports.is_empty() { protocol.to_owned() } else { format!("{protocol}:{}", layer.ports.join(",")) }
        })
        .collect();
    let (way, ranges) = match rule.direction {
        Some(Way::Egress) => ("egress", &matcher.dest_ip_ranges),
        _ => ("ingress", &matcher.src_ip_ranges),
    };
    let when = match policy.r#type {
        Some(Type::Hierarchy) => "before any rule of the network is asked",
        _ => "before ours, if the network asks policies first",
    };
    let kind = policy.r#type.as_ref().map(|kind| format!("{} ", kind.to_string().to_ascii_lowercase()));
    let text = format!(
        "the {}firewall policy {} (rule {}) allows {way} {} {} on {}, {when}",
        kind.unwrap_or_default(),
        name.map_or("without a name", String::as_str),
        rule.priority.unwrap_or_default(),
        layers.join(" "),
        ranges.join(","),
        nic.name,
    );
    plain(&text, 400)
}
