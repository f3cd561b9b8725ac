//! The quarantine group of a VPC: one for each set of rules, shared by all that is quarantined there.
//!
//! Sources: EC2 API Reference "`CreateSecurityGroup`" (a new group lets everything out, over IPv4, and over IPv6 where
//! the VPC has it), "`RevokeSecurityGroupEgress`"; EC2 User Guide "Security group connection tracking".

use std::collections::BTreeSet;

use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{
    IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroup, SecurityGroupRule, Tag, TagSpecification,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stanch_core::{
    Error, Kind, Mark, Result, Seen,
    names::{AccountId, Region, SecurityGroupId, VpcId},
};

use super::{
    isolation::{IsolationSlot, IsolationState, IsolationToken, Presence},
    tags,
};
use crate::{cidr::Cidr, ec2::Ec2Api, error::classify, network::filter, shell};

/// Every protocol, in a rule.
const ALL: &str = "-1";
/// Rules of one group fit into one page (Amazon VPC: "quotas", 60 each way, at most 1000).
const PAGE: i32 = 1000;

/// What a group of ours lets through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rules {
    /// Nothing, but what analysts send from here.
    Closed(Vec<Cidr>),
    /// Everything: connections under it are not tracked, so that closing cuts them.
    Open,
}

impl Rules {
    /// Nothing, but what analysts send from `ranges`.
    pub fn closed(mut ranges: Vec<Cidr>) -> Self {
        ranges.sort();
        ranges.dedup();
        Self::Closed(ranges)
    }

    /// The name of the group that has them.
    pub fn name(&self) -> String {
        let digest = Sha256::digest(format!("in {:?} out {:?}", self.wanted(true), self.wanted(false)));
        let digest = digest.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        match self {
            Self::Closed(_) => format!("{QUARANTINE}{digest:08x}"),
            Self::Open => format!("{UNTRACKED}{digest:08x}"),
        }
    }

    /// The rules in one direction, as text.
    fn wanted(&self, into: bool) -> BTreeSet<String> {
        match self {
            Self::Closed(ranges) if into => ranges.iter().map(|range| format!("{ALL} {range}")).collect(),
            Self::Closed(_) => BTreeSet::new(),
            Self::Open => ["0.0.0.0/0", "::/0"].map(|range| format!("{ALL} {range}")).into(),
        }
    }

    /// Whether a group has these rules and no others.
    pub(crate) fn are_those_of(&self, group: &SecurityGroup) -> bool {
        rules_of(group.ip_permissions()) == self.wanted(true)
            && rules_of(group.ip_permissions_egress()) == self.wanted(false)
    }

    fn permission(rule: &str) -> Option<IpPermission> {
        let range: Cidr = rule.split_once(' ')?.1.parse().ok()?;
        let permission = IpPermission::builder().ip_protocol(ALL);
        Some(if range.is_ipv6() {
            permission.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(range.to_string()).build()).build()
        } else {
            permission.ip_ranges(IpRange::builder().cidr_ip(range.to_string()).build()).build()
        })
    }
}

/// How the names of closed groups begin.
pub(crate) const QUARANTINE: &str = "stanch-quarantine-";
/// How the names of open groups begin.
pub(crate) const UNTRACKED: &str = "stanch-untracked-";

/// Rules as text, one for each peer.
pub(crate) fn rules_of(permissions: &[IpPermission]) -> BTreeSet<String> {
    permissions
        .iter()
        .flat_map(|permission| {
            let protocol = permission.ip_protocol().unwrap_or(ALL);
            let ports = match (permission.from_port(), permission.to_port()) {
                (Some(from), Some(to)) if protocol != ALL => format!(":{from}-{to}"),
                _ => String::new(),
            };
            let v4 = permission.ip_ranges().iter().filter_map(|range| range.cidr_ip());
            let v6 = permission.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6());
            let groups = permission.user_id_group_pairs().iter().filter_map(|pair| pair.group_id());
            let lists = permission.prefix_list_ids().iter().filter_map(|list| list.prefix_list_id());
            let peers = v4.chain(v6).chain(groups).chain(lists).map(|peer| format!("{protocol}{ports} {peer}"));
            peers.collect::<Vec<_>>()
        })
        .collect()
}

/// The group with certain rules in a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineGroup {
    /// The region of the VPC.
    pub region: Region,
    /// The account that owns the group.
    pub account: AccountId,
    /// The VPC.
    pub vpc: VpcId,
    /// What it lets through.
    pub rules: Rules,
}

impl QuarantineGroup {
    pub(super) async fn look(&self, api: &Ec2Api) -> Result<Seen<IsolationSlot>> {
        let group = *api
            .quarantine_groups(std::slice::from_ref(self))
            .await?
            .first()
            .ok_or_else(|| Error::new(Kind::Internal, "ec2:DescribeSecurityGroups", "no answer about the group"))?;
        let id = api.known(&self.vpc, &self.rules.name());
        Ok(Seen {
            state: IsolationState::Group { group },
            ids: id.iter().map(ToString::to_string).collect(),
            token: IsolationToken::Group(id),
            settling: None,
        })
    }

    /// Brings it to `to`, from whatever it is: made if it is not there, every rule that does not belong taken out by its
    /// id, every missing one put in. Or deleted.
    pub(super) async fn write(
        &self,
        to: Presence,
        present: Option<&SecurityGroupId>,
        mark: &Mark,
        api: &Ec2Api,
    ) -> Result<()> {
        match (to, present) {
            (Presence::Absent, Some(id)) => self.delete(id, api).await,
            (Presence::Absent, None) => Ok(()),
            (_, Some(id)) => self.set_rules(id, api).await,
            (_, None) => {
                let id = self.create(mark, api).await?;
                self.set_rules(&id, api).await
            }
        }
    }

    async fn create(&self, mark: &Mark, api: &Ec2Api) -> Result<SecurityGroupId> {
        const OPERATION: &str = "ec2:CreateSecurityGroup";
        let tags = tags(mark).map(|(key, value)| Tag::builder().key(key).value(value).build());
        let name = self.rules.name();
        let made = api
            .client
            .create_security_group()
            .group_name(&name)
            .description(self.description())
            .vpc_id(self.vpc.as_str())
            .tag_specifications(
                TagSpecification::builder()
                    .resource_type(ResourceType::SecurityGroup)
                    .set_tags(Some(tags.into()))
                    .build(),
            )
            .send()
            .await;
        let hidden = |why: &str| Error::new(Kind::Unavailable, OPERATION, why.to_owned()).on(name.as_str());
        match made {
            Ok(made) => made
                .group_id()
                .and_then(|id| id.parse().ok())
                .ok_or_else(|| hidden("the answer does not name the group")),
            // Somebody else made it a moment ago, or the call before this one did and its answer was lost.
            Err(error) if error.as_service_error().and_then(|e| e.code()) == Some("InvalidGroup.Duplicate") => {
                self.look(api).await?;
                api.known(&self.vpc, &name).ok_or_else(|| hidden("it exists and does not show yet"))
            }
            Err(error) => Err(classify(OPERATION, self.vpc.as_str(), error)),
        }
    }

    async fn set_rules(&self, id: &SecurityGroupId, api: &Ec2Api) -> Result<()> {
        const OPERATION: &str = "ec2:DescribeSecurityGroupRules";
        let call = api.client.describe_security_group_rules().filters(filter("group-id", [id])).max_results(PAGE);
        let answer = call.send().await.map_err(|error| classify(OPERATION, id.as_str(), error))?;
        for into in [false, true] {
            let mut missing = self.rules.wanted(into);
            let mut extra = Vec::new();
            for rule in answer.security_group_rules().iter().filter(|rule| rule.is_egress() == Some(!into)) {
                if !missing.remove(&text(rule)) {
                    extra.extend(rule.security_group_rule_id().map(str::to_owned));
                }
            }
            Self::revoke(id, into, extra, api).await?;
            Self::authorize(id, into, &missing, api).await?;
        }
        Ok(())
    }

    async fn revoke(id: &SecurityGroupId, into: bool, rules: Vec<String>, api: &Ec2Api) -> Result<()> {
        if rules.is_empty() {
            return Ok(());
        }
        if into {
            let call = api.client.revoke_security_group_ingress().group_id(id.as_str());
            let answer = call.set_security_group_rule_ids(Some(rules)).send().await;
            answer.map(drop).map_err(|error| classify("ec2:RevokeSecurityGroupIngress", id.as_str(), error))
        } else {
            let call = api.client.revoke_security_group_egress().group_id(id.as_str());
            let answer = call.set_security_group_rule_ids(Some(rules)).send().await;
            answer.map(drop).map_err(|error| classify("ec2:RevokeSecurityGroupEgress", id.as_str(), error))
        }
    }

    async fn authorize(id: &SecurityGroupId, into: bool, rules: &BTreeSet<String>, api: &Ec2Api) -> Result<()> {
        let permissions: Vec<_> = rules.iter().filter_map(|rule| Rules::permission(rule)).collect();
        if permissions.is_empty() {
            return Ok(());
        }
        if into {
            let call = api.client.authorize_security_group_ingress().group_id(id.as_str());
            let answer = call.set_ip_permissions(Some(permissions)).send().await;
            answer.map(drop).map_err(|error| classify("ec2:AuthorizeSecurityGroupIngress", id.as_str(), error))
        } else {
            let call = api.client.authorize_security_group_egress().group_id(id.as_str());
            let answer = call.set_ip_permissions(Some(permissions)).send().await;
            answer.map(drop).map_err(|error| classify("ec2:AuthorizeSecurityGroupEgress", id.as_str(), error))
        }
    }

    async fn delete(&self, id: &SecurityGroupId, api: &Ec2Api) -> Result<()> {
        let answer = api.client.delete_security_group().group_id(id.as_str()).send().await;
        answer.map(drop).map_err(|error| classify("ec2:DeleteSecurityGroup", id.as_str(), error))
    }

    fn description(&self) -> &'static str {
        match self.rules {
            Rules::Closed(_) => "Quarantine: lets nothing through but what analysts send. Made by stanch",
            Rules::Open => "Lets everything through, for a moment, so that tracked connections end. Made by stanch",
        }
    }

    pub(super) fn what(&self, to: Presence) -> String {
        let name = self.rules.name();
        match to {
            Presence::Ready => format!("make sure of the group {name} in {}", self.vpc),
            Presence::Absent | Presence::Weak => format!("delete the group {name} in {}", self.vpc),
        }
    }

    pub(super) fn command(&self, to: Presence) -> String {
        let (region, name) = (&self.region, self.rules.name());
        if to != Presence::Ready {
            return format!("aws ec2 delete-security-group --region {region} --group-id \"{}\"", self.find());
        }
        let made = format!(
            "aws ec2 create-security-group --region {region} --vpc-id {} --group-name {name} --description {}",
            self.vpc,
            shell::word(self.description()),
        );
        let everything = "IpProtocol=-1,IpRanges=[{CidrIp=0.0.0.0/0}]";
        let closed = match &self.rules {
            Rules::Closed(_) => format!(
                " && aws ec2 revoke-security-group-egress --region {region} --group-id \"{}\" --ip-permissions \
                 '{everything}'",
                self.find()
            ),
            Rules::Open => format!(
                " && aws ec2 authorize-security-group-ingress --region {region} --group-id \"{}\" --ip-permissions \
                 '{everything}' 'IpProtocol=-1,Ipv6Ranges=[{{CidrIpv6=::/0}}]'",
                self.find()
            ),
        };
        let allowed = match &self.rules {
            Rules::Closed(ranges) if !ranges.is_empty() => {
                let ranges = ranges.iter().map(|range| {
                    if range.is_ipv6() {
                        format!("'IpProtocol=-1,Ipv6Ranges=[{{CidrIpv6={range}}}]'")
                    } else {
                        format!("'IpProtocol=-1,IpRanges=[{{CidrIp={range}}}]'")
                    }
                });
                format!(
                    " && aws ec2 authorize-security-group-ingress --region {region} --group-id \"{}\" --ip-permissions {}",
                    self.find(),
                    ranges.collect::<Vec<_>>().join(" ")
                )
            }
            _ => String::new(),
        };
        format!("{made}{closed}{allowed}")
    }

    /// A command that prints its id.
    pub(super) fn find(&self) -> String {
        format!(
            "$(aws ec2 describe-security-groups --region {} --filters Name=vpc-id,Values={} Name=group-name,Values={} \
             --query 'SecurityGroups[0].GroupId' --output text)",
            self.region,
            self.vpc,
            self.rules.name()
        )
    }
}

/// A single rule as [`rules_of`] writes it.
fn text(rule: &SecurityGroupRule) -> String {
    let protocol = rule.ip_protocol().unwrap_or(ALL);
    let ports = match (rule.from_port(), rule.to_port()) {
        (Some(from), Some(to)) if protocol != ALL => format!(":{from}-{to}"),
        _ => String::new(),
    };
    let group = rule.referenced_group_info().and_then(|group| group.group_id());
    let peer = rule.cidr_ipv4().or(rule.cidr_ipv6()).or(rule.prefix_list_id()).or(group).unwrap_or_default();
    format!("{protocol}{ports} {peer}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_set_of_rules_has_a_group_of_its_own() {
        let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a range")).collect::<Vec<Cidr>>();
        let plain = Rules::closed(Vec::new()).name();
        assert!(plain.strip_prefix("stanch-quarantine-").is_some_and(|hex| hex.len() == 8), "{plain}");
        let one = Rules::closed(ranges(&["192.0.2.0/24", "2001:db8::/32"])).name();
        let same = Rules::closed(ranges(&["2001:db8::1/32", "192.0.2.9/24", "192.0.2.0/24"])).name();
        assert_eq!(one, same, "order, repetition and host bits do not matter");
        assert_ne!(plain, one);
        assert!(Rules::Open.name().starts_with("stanch-untracked-"));
    }
}
