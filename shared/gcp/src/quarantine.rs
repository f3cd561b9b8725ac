//! The set of rules that cuts off whatever has its tag: the same for every instance of a network, so that it exists once
//! and its users are counted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use stanch_core::{
    Error, Result,
    names::{GceName, ProjectId},
};

use crate::{
    facts::NetworkRef,
    firewall::{Direction, FirewallSlot, Layer, LogConfig, Rule, rule_name, short},
};

/// What every quarantine tag begins with.
pub const QUARANTINE: &str = "stanch-quarantine-";
/// All of IPv4 and of IPv6: a rule takes one family.
const EVERYWHERE: [(&str, &str); 2] = [("0.0.0.0/0", ""), ("::/0", "-v6")];

/// What is denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Protocols {
    /// Everything.
    #[default]
    All,
    /// TCP, as Google's guide shows it: UDP, and with it tunnels, goes on.
    Tcp,
}

impl Protocols {
    const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Tcp => "tcp",
        }
    }
}

impl TryFrom<String> for Protocols {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        match text.as_str() {
            "all" => Ok(Self::All),
            "tcp" => Ok(Self::Tcp),
            _ => Err(Error::invalid("protocols", "must be all or tcp")),
        }
    }
}

/// A range of addresses, such as `198.51.100.7/32`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Cidr(String);

impl Cidr {
    fn is_v6(&self) -> bool {
        self.0.contains(':')
    }
}

impl TryFrom<String> for Cidr {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let bad =
            || Error::invalid("allow_from", "must be ranges of addresses such as 198.51.100.7/32, and not everything");
        let (address, bits) = text.split_once('/').ok_or_else(bad)?;
        let bits: u32 = bits.parse().map_err(|_| bad())?;
        // As Google shows it back: without host bits, in the shortest form.
        let network = match address.parse().map_err(|_| bad())? {
            IpAddr::V4(address) if (1..=32).contains(&bits) => {
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << (32 - bits))))
            }
            IpAddr::V6(address) if (1..=128).contains(&bits) => {
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - bits))))
            }
            _ => return Err(bad()),
        };
        Ok(Self(format!("{network}/{bits}")))
    }
}

/// A rule set.
#[derive(Clone, Debug)]
pub struct Quarantine {
    protocols: Protocols,
    allow_from: Vec<Cidr>,
    tag: GceName,
}

impl Quarantine {
    /// The set of these options. Other options make another set, with another tag.
    ///
    /// # Errors
    /// None that options can cause.
    pub fn new(protocols: Protocols, allow_from: &[Cidr]) -> Result<Self> {
        let mut allow_from = allow_from.to_vec();
        allow_from.sort();
        allow_from.dedup();
        let mut words = vec!["1", protocols.as_str()];
        words.extend(allow_from.iter().map(|cidr| cidr.0.as_str()));
        let tag = format!("{QUARANTINE}{}", short(&words)).parse()?;
        Ok(Self { protocols, allow_from, tag })
    }

    /// What an instance is marked with.
    pub fn tag(&self) -> &GceName {
        &self.tag
    }

    /// The rules of the set in a network, for the instances of a project.
    ///
    /// # Errors
    /// None that valid names can cause.
    pub fn rules(&self, network: &NetworkRef, project: &ProjectId) -> Result<Vec<(FirewallSlot, Rule)>> {
        let base =
            Rule { target_tags: vec![self.tag.to_string()], log_config: LogConfig { enable: true }, ..Rule::default() };
        let denied = vec![Layer::of(self.protocols.as_str())];
        let mut rules = Vec::new();
        for (range, family) in EVERYWHERE {
            let egress = Rule {
                direction: Direction::Egress,
                priority: 0,
                denied: denied.clone(),
                destination_ranges: vec![range.to_owned()],
                ..base.clone()
            };
            // One above zero: an allow of an analyst at zero wins.
            let ingress =
                Rule { priority: 1, denied: denied.clone(), source_ranges: vec![range.to_owned()], ..base.clone() };
            rules.push((format!("egress-deny{family}"), egress));
            rules.push((format!("ingress-deny{family}"), ingress));
        }
        for (v6, family) in [(false, ""), (true, "-v6")] {
            let ranges: Vec<_> =
                self.allow_from.iter().filter(|cidr| cidr.is_v6() == v6).map(|cidr| cidr.0.clone()).collect();
            if !ranges.is_empty() {
                let allow =
                    Rule { priority: 0, allowed: vec![Layer::of("all")], source_ranges: ranges, ..base.clone() };
                rules.push((format!("ingress-allow{family}"), allow));
            }
        }
        let slot = |(part, rule): (String, Rule)| {
            let name = rule_name(&self.tag, network, project, &part)?;
            Ok((FirewallSlot { network: network.clone(), name }, rule))
        };
        rules.into_iter().map(slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(allow: &[&str]) -> Quarantine {
        let allow: Vec<_> = allow.iter().map(|text| (*text).to_owned().try_into().expect("a range")).collect();
        Quarantine::new(Protocols::All, &allow).expect("a set")
    }

    #[test]
    fn equal_options_are_one_set_and_others_another() {
        assert_eq!(set(&["10.0.0.0/8", "192.0.2.1/32"]).tag(), set(&["192.0.2.1/32", "10.0.0.0/8"]).tag());
        assert_ne!(set(&[]).tag(), set(&["10.0.0.0/8"]).tag());
        assert_ne!(set(&[]).tag(), Quarantine::new(Protocols::Tcp, &[]).expect("a set").tag());
    }

    #[test]
    fn a_network_of_a_host_gets_rules_for_each_project_that_uses_it() {
        let network = NetworkRef { project: "acme-host".parse().expect("id"), name: "shared".parse().expect("name") };
        let names = |project: &str| -> Vec<_> {
            let rules =
                set(&["2001:db8::/32", "10.0.0.0/8"]).rules(&network, &project.parse().expect("id")).expect("rules");
            rules.into_iter().map(|(slot, _)| slot.name.to_string()).collect()
        };
        assert_eq!(names("acme-prod").len(), 6);
        assert!(names("acme-prod").iter().all(|name| name.len() <= 63 && !names("acme-test").contains(name)));
    }

    #[test]
    fn a_range_is_written_as_google_shows_it() {
        for (given, shown) in [
            ("198.51.100.7/24", "198.51.100.0/24"),
            ("198.51.100.7/32", "198.51.100.7/32"),
            ("2001:DB8:0:0::1/64", "2001:db8::/64"),
        ] {
            assert_eq!(Cidr::try_from(given.to_owned()).expect("a range").0, shown);
        }
    }

    #[test]
    fn everything_is_no_range_to_let_in() {
        for bad in ["0.0.0.0/0", "::/0", "10.0.0.0", "10.0.0.0/33", "a/8", ""] {
            assert!(Cidr::try_from(bad.to_owned()).is_err(), "{bad:?} is accepted");
        }
    }
}
