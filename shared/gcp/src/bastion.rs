//! The way from an intermediate instance to the quarantined ones of a network.

use stanch_core::{
    Result,
    names::{GceName, ProjectId},
};

use crate::{
    facts::NetworkRef,
    firewall::{FirewallSlot, Layer, LogConfig, Rule, rule_name},
};

/// What a bastion is tagged with. Its last user takes it off.
pub const TAG: &str = "stanch-bastion";

/// The rule that lets SSH through from the bastions of a network to what has a quarantine tag.
///
/// # Errors
/// None that valid names can cause.
pub fn rule(network: &NetworkRef, project: &ProjectId, quarantine: &GceName) -> Result<(FirewallSlot, Rule)> {
    let rule = Rule {
        // Before the quarantine's deny at 1.
        priority: 0,
        allowed: vec![Layer::port("tcp", 22)],
        source_tags: vec![TAG.to_owned()],
        target_tags: vec![quarantine.to_string()],
        log_config: LogConfig { enable: true },
        ..Rule::default()
    };
    let short = crate::firewall::short(&[quarantine.as_str()]);
    let name = rule_name(&format!("{TAG}-{short}").parse()?, network, project, "ingress-allow")?;
    Ok((FirewallSlot { network: network.clone(), name }, rule))
}
