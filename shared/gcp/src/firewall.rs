//! A VPC firewall rule of our own: found by its name, compared field by field, and put right where somebody weakened it.
//!
//! Rules are shared: every quarantined instance of a network uses the same ones, by its tag. A rule names no instance and
//! no record, so that its users agree on it; the last one takes it away. Sources: VPC "VPC firewall rules" (priorities,
//! implied rules, what is never blocked: the metadata server); Compute Engine API reference, `firewalls`.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stanch_core::{
    Error, Kind, Mark, Result,
    names::{GceName, ProjectId},
};

use crate::{
    api::GceApi,
    facts::NetworkRef,
    mark::{description, quote},
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
    pub priority: u32,
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

/// A rule as the service shows it.
#[derive(Deserialize)]
struct Shown {
    network: String,
    #[serde(flatten)]
    rule: Rule,
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
        let Some(Shown { network, rule }) = api.find(GET, &self.path()).await? else { return Ok(None) };
        if NetworkRef::parse(&network).as_ref() == Some(&self.network) {
            return Ok(Some(rule));
        }
        let why = "a rule of this name is in another network: planted? delete it";
        Err(Error::new(Kind::Conflict, GET, why).on(self.path()))
    }

    pub(crate) async fn write(&self, to: Option<&Rule>, there: bool, mark: &Mark, api: &GceApi) -> Result<()> {
        let Some(rule) = to else {
            let done = api.clients.rest.operate(Method::DELETE, "compute.firewalls.delete", &self.path(), None).await;
            return done.or_else(|error| if error.kind() == Kind::NotFound { Ok(()) } else { Err(error) });
        };
        let mut body = serde_json::to_value(rule).unwrap_or_default();
        if let Some(fields) = body.as_object_mut() {
            fields.insert("name".to_owned(), json!(self.name));
            fields.insert("network".to_owned(), json!(self.network.path()));
            fields.insert("description".to_owned(), Value::String(description(mark)));
        }
        if there {
            // `update` replaces: what somebody added, such as a source that it does not apply to, goes.
            return api.clients.rest.operate(Method::PUT, "compute.firewalls.update", &self.path(), Some(&body)).await;
        }
        let path = format!("projects/{}/global/firewalls", self.network.project);
        api.clients.rest.operate(Method::POST, "compute.firewalls.insert", &path, Some(&body)).await
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
        let shown: Shown = serde_json::from_value(json!({
            "kind": "compute#firewall", "id": "5", "name": "x", "network": "https://www.googleapis.com/compute/v1/projects/acme-prod/global/networks/default",
            "direction": "EGRESS", "priority": 0, "denied": [{"IPProtocol": "all"}], "destinationRanges": ["0.0.0.0/0"],
            "targetTags": ["q"], "disabled": true, "logConfig": {"enable": true, "metadata": "INCLUDE_ALL_METADATA"},
        }))
        .expect("a rule");
        assert!(shown.rule.disabled && shown.rule.log_config.enable);
        assert_eq!((shown.rule.direction, shown.rule.priority), (Direction::Egress, 0));
    }
}
