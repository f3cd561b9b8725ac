//! What each action may be used on: the one source of IAM policies, for a role that is deployed and for a session that
//! is assumed for one order.
//!
//! A responder declares actions (`Responder::NEEDS`); this table says which resources and conditions belong to them.
//! `*` stands only where the API has no resource-level permission (Service Authorization Reference), which a test
//! checks against its published data.

use serde_json::{Map, Value, json};
use stanch_core::{
    Permission,
    names::{AccountId, Region},
    target::Ec2Instance,
};

use self::rows::ROWS;

mod rows;

/// Resources of an action, and the conditions that hold for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// For this responder alone; `None`: for all that need the action.
    pub responder: Option<&'static str>,
    /// E.g. `ec2:CreateSnapshots`.
    pub action: &'static str,
    /// ARNs with `{partition}`, `{account}`, `{region}`, `{instance}`, `{principal}`; `*` where the API knows no
    /// resource.
    pub resources: &'static [&'static str],
    /// Operator, key and value of each condition; a value may have the same places as a resource.
    pub conditions: &'static Conditions,
}

/// Operator, key and value of each.
pub type Conditions = [(&'static str, &'static str, &'static str)];

/// What the places in a [`Grant`] stand for. What is not given is `*`.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// `aws`, `aws-cn` …
    pub partition: String,
    /// The account.
    pub account: Option<AccountId>,
    /// The region.
    pub region: Option<Region>,
    /// The instance's id.
    pub instance: Option<String>,
    /// The name of the accused role or user, without its path.
    pub principal: Option<String>,
}

/// The grants of an action that a responder needs; empty: the table does not know it. Two, where an action is used on
/// two kinds of resource under different conditions.
pub fn grants(responder: &str, action: &str) -> Vec<&'static Grant> {
    let rows = ROWS.iter().filter(|row| row.action == action);
    let (own, shared): (Vec<_>, Vec<_>) = rows
        .filter(|row| row.responder.is_none_or(|owner| owner == responder))
        .partition(|row| row.responder.is_some());
    if own.is_empty() { shared } else { own }
}

/// The policy that allows a responder these permissions, and nothing else. Actions with the same resources and
/// conditions share a statement: a session policy has 2,048 characters.
pub fn policy(responder: &str, needs: &[Permission], names: &Names) -> Value {
    let mut statements: Vec<(Value, Value, Vec<&str>)> = Vec::new();
    for permission in needs {
        let Permission::Aws(action) = permission else { continue };
        for grant in grants(responder, action) {
            let resources = Value::from(grant.resources.iter().map(|it| names.fill(it)).collect::<Vec<_>>());
            let mut conditions = Map::new();
            for (operator, key, value) in grant.conditions {
                let operator = conditions.entry(*operator).or_insert_with(|| json!({}));
                if let Some(keys) = operator.as_object_mut() {
                    keys.insert((*key).to_owned(), names.fill(value).into());
                }
            }
            let conditions = Value::from(conditions);
            match statements.iter_mut().find(|(known, when, _)| *known == resources && *when == conditions) {
                Some((.., actions)) if !actions.contains(action) => actions.push(action),
                Some(_) => {}
                None => statements.push((resources, conditions, vec![action])),
            }
        }
    }
    let statements: Vec<_> = statements
        .into_iter()
        .map(|(resources, conditions, actions)| {
            let mut statement = json!({"Effect": "Allow", "Action": actions, "Resource": resources});
            if let (Some(statement), false) = (statement.as_object_mut(), conditions == json!({})) {
                statement.insert("Condition".to_owned(), conditions);
            }
            statement
        })
        .collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}

impl Names {
    /// Those of an instance.
    pub fn of(target: &Ec2Instance) -> Self {
        Self {
            partition: partition(&target.region).to_owned(),
            account: Some(target.account.clone()),
            region: Some(target.region.clone()),
            instance: Some(target.id.to_string()),
            principal: None,
        }
    }

    fn fill(&self, pattern: &str) -> String {
        let any = |name: Option<&str>| name.unwrap_or("*").to_owned();
        pattern
            .replace("{partition}", if self.partition.is_empty() { "*" } else { &self.partition })
            .replace("{account}", &any(self.account.as_ref().map(AccountId::as_str)))
            .replace("{region}", &any(self.region.as_ref().map(Region::as_str)))
            .replace("{instance}", &any(self.instance.as_deref()))
            .replace("{principal}", &any(self.principal.as_deref()))
    }
}

/// The partition of a region (AWS General Reference: "AWS service endpoints").
pub fn partition(region: &Region) -> &'static str {
    const PREFIXES: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    PREFIXES.iter().find(|(prefix, _)| region.as_str().starts_with(prefix)).map_or("aws", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            partition: "aws".to_owned(),
            account: Some("123456789012".parse().expect("an account")),
            region: Some("eu-central-1".parse().expect("a region")),
            instance: Some("i-0123456789abcdef0".to_owned()),
            principal: None,
        }
    }

    #[test]
    fn a_policy_names_the_one_instance_and_the_call_that_may_tag() {
        let needs = [
            Permission::Aws("ec2:DescribeInstances"),
            Permission::Aws("ec2:DescribeSnapshots"),
            Permission::Aws("ec2:CreateSnapshots"),
            Permission::Aws("ec2:CreateTags"),
        ];
        assert_eq!(
            policy("aws-snapshot-volumes", &needs, &names()),
            json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": ["ec2:DescribeInstances", "ec2:DescribeSnapshots"], "Resource": ["*"]},
                {"Effect": "Allow", "Action": ["ec2:CreateSnapshots"], "Resource": [
                    "arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0",
                    "arn:aws:ec2:eu-central-1:123456789012:volume/*",
                    "arn:aws:ec2:eu-central-1::snapshot/*",
                ]},
                {"Effect": "Allow", "Action": ["ec2:CreateTags"],
                 "Resource": ["arn:aws:ec2:eu-central-1::snapshot/*"],
                 "Condition": {"StringEquals": {"ec2:CreateAction": "CreateSnapshots"}}},
            ]})
        );
    }

    #[test]
    fn a_region_has_a_partition() {
        for (region, name) in [
            ("eu-central-1", "aws"),
            ("us-gov-west-1", "aws-us-gov"),
            ("cn-north-1", "aws-cn"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert_eq!(partition(&region.parse().expect("a region")), name);
        }
    }
}
