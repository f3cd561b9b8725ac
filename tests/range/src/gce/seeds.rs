//! More of what a test plants: interfaces, addresses, managed groups, firewall policies, service accounts.

use std::collections::BTreeSet;

use serde_json::Value;

use super::state::Scope;

/// A network interface to plant.
#[derive(Clone, Debug)]
pub struct Nic {
    pub(crate) network: String,
    pub(crate) ip: Option<String>,
    pub(crate) access: Vec<Access>,
    pub(crate) ipv6: Option<String>,
    pub(crate) ipv6_access: Vec<Access>,
}

/// An external address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) name: String,
    /// `natIP`, or the first address of the external IPv6 range. A stopped instance has no ephemeral one.
    pub(crate) address: Option<String>,
    pub(crate) tier: String,
    pub(crate) ptr: Option<String>,
}

impl Nic {
    /// An interface in a VPC network of the project, IPv4 only, without an external address.
    pub fn new(network: &str) -> Self {
        Self { network: network.into(), ip: None, access: Vec::new(), ipv6: None, ipv6_access: Vec::new() }
    }

    /// With an external IPv4 address under a name such as `External NAT`.
    #[must_use]
    pub fn external(mut self, name: &str, address: &str) -> Self {
        self.access.push(Access::new(name, address, "PREMIUM"));
        self
    }

    /// In another network tier.
    #[must_use]
    pub fn tier(mut self, tier: &str) -> Self {
        for access in &mut self.access {
            access.tier = tier.into();
        }
        self
    }

    /// With a public name for the address (reverse DNS).
    #[must_use]
    pub fn ptr(mut self, name: &str) -> Self {
        for access in &mut self.access {
            access.ptr = Some(name.into());
        }
        self
    }

    /// With an internal IPv6 address.
    #[must_use]
    pub fn ipv6(self, address: &str) -> Self {
        Self { ipv6: Some(address.into()), ..self }
    }

    /// With an external IPv6 range of 96 bits.
    #[must_use]
    pub fn external_ipv6(mut self, name: &str, address: &str) -> Self {
        self.ipv6_access.push(Access::new(name, address, "PREMIUM"));
        self
    }
}

impl Access {
    pub(crate) fn new(name: &str, address: &str, tier: &str) -> Self {
        Self { name: name.into(), address: Some(address.into()), tier: tier.into(), ptr: None }
    }
}

/// A managed instance group to plant. Its members must have been planted before.
#[derive(Clone, Debug)]
pub struct Group {
    pub(crate) project: String,
    pub(crate) scope: Scope,
    pub(crate) name: String,
    pub(crate) base: String,
    pub(crate) size: u64,
    /// Zone and name: unique in the project.
    pub(crate) members: Vec<(String, String)>,
}

impl Group {
    /// A zonal group.
    pub fn zonal(project: &str, zone: &str, name: &str) -> Self {
        Self::of(project, Scope::Zone(zone.into()), name)
    }

    /// A regional group.
    pub fn regional(project: &str, region: &str, name: &str) -> Self {
        Self::of(project, Scope::Region(region.into()), name)
    }

    fn of(project: &str, scope: Scope, name: &str) -> Self {
        let (project, name) = (project.to_owned(), name.to_owned());
        Self { base: name.clone(), project, scope, name, size: 0, members: Vec::new() }
    }

    /// A member, by its name (of a zonal group) or `zone/name`.
    ///
    /// # Panics
    /// When a member of a regional group is given without its zone.
    #[must_use]
    #[expect(clippy::panic, reason = "a test gave a name that cannot be one")]
    pub fn member(mut self, member: &str) -> Self {
        let (zone, name) = match (&self.scope, member.split_once('/')) {
            (_, Some((zone, name))) => (zone, name),
            (Scope::Zone(zone), None) => (zone.as_str(), member),
            _ => panic!("a member of a regional group is given as zone/name"),
        };
        self.members.push((zone.to_owned(), name.to_owned()));
        self.size += 1;
        self
    }
}

/// What is kept of a group.
#[derive(Clone, Debug)]
pub(crate) struct KeptGroup {
    pub(crate) id: u64,
    pub(crate) seed: Group,
}

impl KeptGroup {
    pub(crate) fn resource(&self) -> String {
        format!("projects/{}/{}/instanceGroupManagers/{}", self.seed.project, self.seed.scope, self.seed.name)
    }

    pub(crate) fn has(&self, project: &str, zone: &str, name: &str) -> bool {
        self.seed.project == project && self.seed.members.iter().any(|(at, member)| at == zone && member == name)
    }
}

/// A reserved external address.
#[derive(Clone, Debug)]
pub(crate) struct KeptAddress {
    pub(crate) id: u64,
    pub(crate) project: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) address: String,
}

/// A firewall policy that is in force on every network of a project: hierarchical unless `kind` says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct KeptPolicy {
    pub(crate) project: String,
    pub(crate) policy: Value,
}

/// A service account to plant.
#[derive(Clone, Debug)]
pub struct Account {
    pub(crate) project: String,
    pub(crate) email: String,
    pub(crate) unique_id: u64,
    pub(crate) disabled: bool,
    pub(crate) keys: Vec<Key>,
    pub(crate) bindings: Vec<(String, BTreeSet<String>)>,
    /// Counts the changes of the policy: its etag.
    pub(crate) version: u64,
}

/// A key of a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// 40 hexadecimal digits.
    pub id: String,
    /// `USER_MANAGED` or `SYSTEM_MANAGED`.
    pub managed: String,
    /// Whether it is disabled.
    pub disabled: bool,
}

impl Account {
    /// An enabled account without keys and bindings.
    pub fn new(project: &str, email: &str) -> Self {
        let unique_id = email.bytes().fold(1_000_000_007_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        Self {
            project: project.into(),
            email: email.into(),
            unique_id: 100_000_000_000_000_000 + unique_id % 10_000_000_000_000_000,
            disabled: false,
            keys: Vec::new(),
            bindings: Vec::new(),
            version: 1,
        }
    }

    /// A key that somebody made and downloaded.
    #[must_use]
    pub fn key(mut self, id: &str) -> Self {
        self.keys.push(Key { id: id.into(), managed: "USER_MANAGED".into(), disabled: false });
        self
    }

    /// A key of Google's own, which cannot be disabled.
    #[must_use]
    pub fn system_key(mut self, id: &str) -> Self {
        self.keys.push(Key { id: id.into(), managed: "SYSTEM_MANAGED".into(), disabled: false });
        self
    }

    /// Who may use it as what: `roles/iam.workloadIdentityUser`.
    #[must_use]
    pub fn binding(mut self, role: &str, members: &[&str]) -> Self {
        self.bindings.push((role.into(), members.iter().map(|&one| one.to_owned()).collect()));
        self
    }

    /// Disabled from the start.
    #[must_use]
    pub fn disabled(self) -> Self {
        Self { disabled: true, ..self }
    }

    /// Whether it is disabled.
    pub fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Its keys.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The members of a role; none where there is no binding.
    pub fn members(&self, role: &str) -> Vec<String> {
        let of_role = self.bindings.iter().filter(|(bound, _)| bound == role);
        of_role.flat_map(|(_, members)| members.iter().cloned()).collect()
    }

    /// The number by which IAM knows it.
    pub fn unique_id(&self) -> String {
        self.unique_id.to_string()
    }
}
