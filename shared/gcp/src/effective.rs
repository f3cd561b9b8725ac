//! What still lets traffic through beside our rules: `getEffectiveFirewalls`, read for a person.
//!
//! Hierarchical policies are asked before VPC rules, so an allow there wins over any deny of ours; an allow among the VPC
//! rules wins over our ingress deny only with priority 0, and over our egress deny, which has priority 0 itself, never:
//! at one priority, deny wins. Sources: Cloud NGFW "Firewall policy and rule evaluation order", "VPC firewall rules,
//! priority".

use serde::Deserialize;
use stanch_core::{Result, names::GceName};

use crate::{
    api::GceApi,
    facts::{InstanceRef, Nic},
    firewall::Rule,
    mark::plain,
    rest::query,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Answer {
    firewalls: Vec<Named>,
    firewall_policys: Vec<Policy>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(flatten)]
    rule: Rule,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Policy {
    name: String,
    short_name: String,
    display_name: String,
    r#type: String,
    rules: Vec<PolicyRule>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PolicyRule {
    action: String,
    direction: String,
    priority: i64,
    disabled: bool,
    r#match: Matcher,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Matcher {
    src_ip_ranges: Vec<String>,
    dest_ip_ranges: Vec<String>,
    layer4_configs: Vec<Layer4>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Layer4 {
    ip_protocol: String,
    ports: Vec<String>,
}

impl GceApi {
    /// What lets traffic of an interface through although a rule set of ours denies it; each in words.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn loopholes(&self, instance: &InstanceRef, nic: &Nic, ours: &[GceName]) -> Result<Vec<String>> {
        // This call takes no number (discovery document, pattern of `instance`); the look before was by number.
        let path = format!("{}/getEffectiveFirewalls?networkInterface={}", instance.named(), query(&nic.name));
        let answer: Answer = self.read("compute.instances.getEffectiveFirewalls", &path).await?;
        let is_ours = |name: &str| ours.iter().any(|one| one.as_str() == name);
        let rules = answer.firewalls.iter().filter(|named| {
            let rule = &named.rule;
            let ingress = rule.direction == crate::firewall::Direction::Ingress;
            ingress && rule.priority == 0 && !rule.allowed.is_empty() && !rule.disabled && !is_ours(&named.name)
        });
        let mut found: Vec<_> = rules
            .map(|named| {
                format!(
                    "the firewall rule {} (priority 0) lets ingress through on {}",
                    plain(&named.name, 63),
                    nic.name
                )
            })
            .collect();
        for policy in &answer.firewall_policys {
            let allows = policy.rules.iter().filter(|rule| rule.action == "allow" && !rule.disabled);
            found.extend(allows.map(|rule| told(policy, rule, nic)));
        }
        Ok(found)
    }
}

fn told(policy: &Policy, rule: &PolicyRule, nic: &Nic) -> String {
    let name = [&policy.short_name, &policy.display_name, &policy.name].into_iter().find(|name| !name.is_empty());
    let layers: Vec<_> = rule
        .r#match
        .layer4_configs
        .iter()
        .map(|layer| match layer.ports.join(",") {
            ports if ports.is_empty() => layer.ip_protocol.clone(),
            ports => format!("{}:{ports}", layer.ip_protocol),
        })
        .collect();
    let (way, ranges) = match rule.direction.as_str() {
        "EGRESS" => ("egress", &rule.r#match.dest_ip_ranges),
        _ => ("ingress", &rule.r#match.src_ip_ranges),
    };
    let when = match policy.r#type.as_str() {
        "HIERARCHY" => "before any rule of the network is asked",
        _ => "before ours, if the network asks policies first",
    };
    let text = format!(
        "the {} firewall policy {} (rule {}) allows {way} {} {} on {}, {when}",
        policy.r#type.to_ascii_lowercase(),
        name.map_or("without a name", String::as_str),
        rule.priority,
        layers.join(" "),
        ranges.join(","),
        nic.name,
    );
    plain(&text, 400)
}
