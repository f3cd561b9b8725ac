//! A VPC firewall rule of our own: found by its name, compared field by field, and put right where somebody weakened it.
//!
//! Rules are shared: every quarantined instance of a network uses the same ones, by its tag. A rule names no instance and
//! no record, so that its users agree on it; the last one takes it away. Sources: VPC "VPC firewall rules" (priorities,
//! implied rules, what is never blocked: the metadata server); Compute Engine API reference, `firewalls`.

use google_cloud_compute_v1::model;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stanch_core::{
    Error, Kind, Mark, Result,
    names::{GceName, ProjectId},
};

use crate::{
    api::GceApi,
    facts::NetworkRef,
    fault,
    mark::{description, quote},
    wait,
};

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Direction {
    /// To the instance.
    Ingress,
    /// From it.
    Egress,
}

impl Direction {
    /// `ingress` or `egress`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// A protocol and, where it has any, ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// `all`, `tcp` …
    #[serde(rename = "IPProtocol")]
    pub protocol: String,
    /// All where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
}

/// What a rule says: everything that decides what it lets through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    /// Which way.
    pub direction: Direction,
    /// Lower numbers win; at the same number, deny wins.
    pub priority: i32,
    /// What passes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Layer>,
    /// What does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<Layer>,
    /// From where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_ranges: Vec<String>,
    /// From instances with these tags, as far as their primary interface goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_tags: Vec<String>,
    /// From instances that run as these accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_service_accounts: Vec<String>,
    /// To where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination_ranges: Vec<String>,
    /// Of instances with these tags; without any, of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target_tags: Vec<String>,
    /// Of instances that run as these accounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target_service_accounts: Vec<String>,
    /// Not in force.
    pub disabled: bool,
    /// Every connection that meets it is logged.
    pub log_config: LogConfig,
}

/// Firewall Rules Logging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// It is on.
    pub enable: bool,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            direction: Direction::Ingress,
            priority: 1000,
            allowed: Vec::new(),
            denied: Vec::new(),
            source_ranges: Vec::new(),
            source_tags: Vec::new(),
            source_service_accounts: Vec::new(),
            destination_ranges: Vec::new(),
            target_tags: Vec::new(),
            target_service_accounts: Vec::new(),
            disabled: false,
            log_config: LogConfig::default(),
        }
    }
}

/// The order of a list means nothing.
fn sorted(list: &[String]) -> Vec<String> {
    let mut list = list.to_vec();
    list.sort();
    list
}

impl Rule {
    /// Reads a rule, with all that can weaken it.
    pub(crate) fn read(shown: &model::Firewall) -> Self {
        let layer = |protocol: &Option<String>, ports: &[String]| Layer {
            protocol: protocol.clone().unwrap_or_default(),
            ports: ports.to_vec(),
        };
        Self {
            direction: match shown.direction {
                Some(model::firewall::Direction::Egress) => Direction::Egress,
                _ => Direction::Ingress,
            },
            priority: shown.priority.unwrap_or(1000),
            allowed: shown.allowed.iter().map(|one| layer(&one.ip_protocol, &one.ports)).collect(),
            denied: shown.denied.iter().map(|one| layer(&one.ip_protocol, &one.ports)).collect(),
            source_ranges: sorted(&shown.source_ranges),
            source_tags: sorted(&shown.source_tags),
            source_service_accounts: sorted(&shown.source_service_accounts),
            destination_ranges: sorted(&shown.destination_ranges),
            target_tags: sorted(&shown.target_tags),
            target_service_accounts: sorted(&shown.target_service_accounts),
            disabled: shown.disabled.unwrap_or(false),
            log_config: LogConfig { enable: shown.log_config.as_ref().and_then(|log| log.enable).unwrap_or(false) },
        }
    }

    fn to_model(&self, slot: &FirewallSlot, mark: &Mark) -> model::Firewall {
        use model::firewall::{Allowed, Denied, Direction as Way};
        let way = match self.direction {
            Direction::Ingress => Way::Ingress,
            Direction::Egress => Way::Egress,
        };
        let allowed = self
            .allowed
            .iter()
            .map(|one| Allowed::new().set_ip_protocol(one.protocol.as_str()).set_ports(one.ports.iter().cloned()));
        let denied = self
            .denied
            .iter()
            .map(|one| Denied::new().set_ip_protocol(one.protocol.as_str()).set_ports(one.ports.iter().cloned()));
        model::Firewall::new()
            .set_name(slot.name.as_str())
            .set_network(slot.network.path())
            .set_description(description(mark))
            .set_direction(way)
            .set_priority(self.priority)
            .set_allowed(allowed)
            .set_denied(denied)
            .set_source_ranges(self.source_ranges.iter().cloned())
            .set_source_tags(self.source_tags.iter().cloned())
            .set_source_service_accounts(self.source_service_accounts.iter().cloned())
            .set_destination_ranges(self.destination_ranges.iter().cloned())
            .set_target_tags(self.target_tags.iter().cloned())
            .set_target_service_accounts(self.target_service_accounts.iter().cloned())
            .set_disabled(self.disabled)
            .set_log_config(model::FirewallLogConfig::new().set_enable(self.log_config.enable))
    }
}

/// The place of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallSlot {
    /// Its network. A rule is in the project of its network: in a Shared VPC, the host's.
    pub network: NetworkRef,
    /// Its name, unique in the project.
    pub name: GceName,
}

impl FirewallSlot {
    fn path(&self) -> String {
        format!("projects/{}/global/firewalls/{}", self.network.project, self.name)
    }

    pub(crate) async fn look(&self, api: &GceApi) -> Result<Option<Rule>> {
        const GET: &str = "compute.firewalls.get";
        let client = api.clients.firewalls().await?;
        let call = client.get().set_project(self.network.project.as_str()).set_firewall(self.name.as_str());
        let shown = match call.send().await.map_err(|error| fault::call(GET, &self.path(), &error)) {
            Ok(shown) => shown,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if shown.network.as_deref().and_then(NetworkRef::parse).as_ref() == Some(&self.network) {
            return Ok(Some(Rule::read(&shown)));
        }
        let why = "a rule of this name is in another network: planted? delete it";
        Err(Error::new(Kind::Conflict, GET, why).on(self.path()))
    }

    pub(crate) async fn write(&self, to: Option<&Rule>, there: bool, mark: &Mark, api: &GceApi) -> Result<()> {
        let client = api.clients.firewalls().await?;
        let (project, name) = (self.network.project.as_str(), self.name.as_str());
        let (operation, first) = match to {
            None => {
                let call = client.delete().set_project(project).set_firewall(name);
                ("compute.firewalls.delete", call.send().await)
            }
            // `update` replaces: what somebody added, such as a source that it does not apply to, goes.
            Some(rule) if there => {
                let call = client.update().set_project(project).set_firewall(name);
                ("compute.firewalls.update", call.set_body(rule.to_model(self, mark)).send().await)
            }
            Some(rule) => {
                let call = client.insert().set_project(project).set_body(rule.to_model(self, mark));
                ("compute.firewalls.insert", call.send().await)
            }
        };
        let scope = format!("projects/{project}/global");
        let first = first.map_err(|error| fault::call(operation, &self.path(), &error));
        let done = wait::settled(api, &scope, operation, &self.path(), first).await;
        done.or_else(|error| if to.is_none() && error.kind() == Kind::NotFound { Ok(()) } else { Err(error) })
    }

    pub(crate) fn what(&self, to: Option<&Rule>) -> String {
        let Some(rule) = to else { return format!("delete the firewall rule {}", self.name) };
        let verb = if rule.denied.is_empty() { "allow" } else { "deny" };
        let layers = layers(rule);
        let all =
            [&rule.source_ranges, &rule.source_tags, &rule.destination_ranges].map(|list| list.join(",")).concat();
        let which = rule.direction.as_str();
        format!("{verb} {which} {layers}, {all}, in {} for the tag {}", self.network.name, rule.target_tags.join(","))
    }

    pub(crate) fn command(&self, to: Option<&Rule>, mark: &Mark) -> String {
        let project = &self.network.project;
        let Some(rule) = to else {
            return format!("gcloud compute firewall-rules delete {} --project={project} --quiet", self.name);
        };
        let list =
            |flag: &str, values: &[String]| (!values.is_empty()).then(|| format!("--{flag}={}", values.join(",")));
        let words = [
            Some(format!("gcloud compute firewall-rules create {} --project={project}", self.name)),
            Some(format!("--network={}", self.network.name)),
            Some(format!("--action={}", if rule.denied.is_empty() { "allow" } else { "deny" })),
            Some(format!("--direction={}", rule.direction.as_str())),
            Some(format!("--rules={}", layers(rule))),
            list("source-ranges", &rule.source_ranges),
            list("source-tags", &rule.source_tags),
            list("destination-ranges", &rule.destination_ranges),
            Some(format!("--priority={}", rule.priority)),
            list("target-tags", &rule.target_tags),
            rule.log_config.enable.then(|| "--enable-logging".to_owned()),
            Some(quote(&format!("--description={}", description(mark)))),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

fn layers(rule: &Rule) -> String {
    let one = |layer: &Layer| match layer.ports.as_slice() {
        [] => layer.protocol.clone(),
        ports => ports.iter().map(|port| format!("{}:{port}", layer.protocol)).collect::<Vec<_>>().join(","),
    };
    rule.allowed.iter().chain(&rule.denied).map(one).collect::<Vec<_>>().join(",")
}

impl Layer {
    /// Every protocol, or one.
    pub fn of(protocol: &str) -> Self {
        Self { protocol: protocol.to_owned(), ports: Vec::new() }
    }

    /// With one port.
    pub fn port(protocol: &str, port: u16) -> Self {
        Self { protocol: protocol.to_owned(), ports: vec![port.to_string()] }
    }
}

/// Eight hexadecimal digits that stand for these words.
pub(crate) fn short(words: &[&str]) -> String {
    let digest = Sha256::digest(words.join("\n"));
    digest.iter().take(4).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The name of one of a set's rules in a network, for the instances of a project: `stanch-quarantine-<set>-<network>-<part>`.
/// The project counts, because the records of another one, which uses the same Shared VPC, do not know of ours.
pub(crate) fn rule_name(tag: &GceName, network: &NetworkRef, project: &ProjectId, part: &str) -> Result<GceName> {
    format!("{tag}-{}-{part}", short(&[&network.path(), project.as_str()])).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_with_all_that_can_weaken_it() {
        let slot = FirewallSlot {
            network: NetworkRef { project: "acme-prod".parse().expect("id"), name: "default".parse().expect("name") },
            name: "x".parse().expect("name"),
        };
        let mark = Mark {
            record: "a".repeat(24).parse().expect("record"),
            incident: "inc-1".parse().expect("incident"),
            opened: jiff::Timestamp::UNIX_EPOCH,
            by: "ana".into(),
        };
        let whole = Rule {
            direction: Direction::Egress,
            priority: 0,
            allowed: vec![Layer::port("tcp", 22)],
            denied: vec![Layer::of("all")],
            source_ranges: vec!["10.0.0.0/8".into()],
            source_tags: vec!["a".into()],
            source_service_accounts: vec!["b".into()],
            destination_ranges: vec!["::/0".into()],
            target_tags: vec!["c".into()],
            target_service_accounts: vec!["d".into()],
            disabled: true,
            log_config: LogConfig { enable: true },
        };
        assert_eq!(Rule::read(&whole.to_model(&slot, &mark)), whole);
    }
}
