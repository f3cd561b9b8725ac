//! Who may assume a role, and how the way back in is closed.
//!
//! Sources: Amazon EKS User Guide "IAM roles for service accounts", "Learn how EKS Pod Identity grants pods access to
//! AWS services"; IAM User Guide "Creating a role for OpenID Connect federation".

use serde_json::{Value, json};
use stanch_core::{
    Mark,
    names::{KubeName, Namespace},
};

use crate::{
    deny::sid,
    policy::{Policy, strings},
};

/// The service that hands out EKS Pod Identity's credentials.
const PODS: &str = "pods.eks.amazonaws.com";
/// The service behind instance profiles, in every partition.
const EC2: &str = "ec2.amazonaws.com";

/// Who may assume a role, as its trust policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// AWS services, but for Pod Identity and EC2.
    pub services: Vec<String>,
    /// EC2, by instance profiles.
    pub ec2: bool,
    /// EKS Pod Identity.
    pub pods: bool,
    /// Accounts, roles and users.
    pub aws: Vec<String>,
    /// Identity providers, e.g. of an EKS cluster.
    pub web: Vec<Web>,
    /// SAML providers.
    pub saml: Vec<String>,
}

/// An OIDC provider that a role trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// Its ARN.
    pub provider: String,
    /// The subjects that it must name, e.g. `system:serviceaccount:web:shop`; empty: any, or a pattern.
    pub subjects: Vec<String>,
}

impl Web {
    /// The issuer, as condition keys begin with it.
    fn issuer(&self) -> &str {
        self.provider.split_once(":oidc-provider/").map_or("", |(_, issuer)| issuer)
    }
}

/// The subject of a Kubernetes service account.
pub fn subject(namespace: &Namespace, name: &KubeName) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

impl Trust {
    /// What a trust policy allows. What it denies is left out: it only makes the list shorter than this.
    pub fn read(policy: &Policy) -> Self {
        let mut trust = Self::default();
        for statement in policy.statements() {
            if statement.get("Effect").and_then(Value::as_str) != Some("Allow") {
                continue;
            }
            let principal = statement.get("Principal");
            if principal.and_then(Value::as_str) == Some("*") {
                trust.aws.push("*".to_owned());
                continue;
            }
            let of = |kind: &str| strings(principal.and_then(|principal| principal.get(kind)));
            for service in of("Service") {
                match service.as_str() {
                    PODS => trust.pods = true,
                    service if service.starts_with(EC2) => trust.ec2 = true,
                    _ => trust.services.push(service),
                }
            }
            trust.aws.extend(of("AWS"));
            for provider in of("Federated") {
                if provider.contains(":saml-provider/") {
                    trust.saml.push(provider);
                    continue;
                }
                let mut web = Web { provider, subjects: Vec::new() };
                let key = format!("{}:sub", web.issuer());
                web.subjects = strings(statement.pointer("/Condition/StringEquals").and_then(|it| it.get(&key)));
                trust.web.push(web);
            }
        }
        trust
    }

    /// Everybody who can get a session by it, each once.
    pub fn count(&self) -> usize {
        let web: usize = self.web.iter().map(|web| web.subjects.len().max(1)).sum();
        self.services.len() + self.aws.len() + self.saml.len() + web
    }

    /// The providers whose tokens have to be refused, and for which subjects: those of one service account, or all.
    pub fn to_close(&self, only: Option<&str>) -> Vec<Web> {
        self.web
            .iter()
            .filter_map(|web| match only {
                None => Some(web.clone()),
                Some(subject) => {
                    let named = web.subjects.is_empty() || web.subjects.iter().any(|it| it == subject);
                    named.then(|| Web { subjects: vec![subject.to_owned()], ..web.clone() })
                }
            })
            .collect()
    }
}

/// The trust policy with a Deny for each of these providers and subjects, once.
pub fn closed(policy: &Policy, ways: &[Web], mark: &Mark) -> Policy {
    let own = sid(mark);
    let is_ours = |statement: &Value| {
        statement.get("Sid").and_then(Value::as_str).is_some_and(|sid| sid.starts_with(own.as_str()))
    };
    let mut statements = policy.statements();
    let there: Vec<_> = statements.iter().filter(|statement| is_ours(statement)).cloned().collect();
    statements.retain(|statement| !is_ours(statement));
    let mut ours = there;
    for way in ways {
        let mut deny = json!({
            "Effect": "Deny",
            "Principal": {"Federated": way.provider},
            "Action": "sts:AssumeRoleWithWebIdentity",
        });
        if let (Some(deny), false) = (deny.as_object_mut(), way.subjects.is_empty()) {
            let subjects = if let [one] = way.subjects.as_slice() { json!(one) } else { json!(way.subjects) };
            deny.insert("Condition".to_owned(), json!({"StringEquals": {format!("{}:sub", way.issuer()): subjects}}));
        }
        let same = |statement: &Value| {
            let mut bare = statement.clone();
            bare.as_object_mut().map(|bare| bare.remove("Sid"));
            Policy::from(&bare) == Policy::from(&deny)
        };
        if !ours.iter().any(same) {
            let name = if ours.is_empty() { own.clone() } else { format!("{own}n{}", ours.len()) };
            deny.as_object_mut().map(|deny| deny.insert("Sid".to_owned(), name.into()));
            ours.push(deny);
        }
    }
    statements.extend(ours);
    let mut document = policy.value().unwrap_or_else(|| json!({"Version": "2012-10-17"}));
    document.as_object_mut().map(|document| document.insert("Statement".to_owned(), statements.into()));
    Policy::from(&document)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const PROVIDER: &str = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABCD";
    const KEY: &str = "oidc.eks.eu-central-1.amazonaws.com/id/ABCD:sub";

    fn mark() -> Mark {
        Mark {
            record: "0123456789abcdef01234567".parse().expect("a record id"),
            incident: "case-1".parse().expect("an incident"),
            opened: Timestamp::UNIX_EPOCH,
            by: "ann".to_owned(),
        }
    }

    fn policy() -> Policy {
        Policy::from(&json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Federated": PROVIDER}, "Action": "sts:AssumeRoleWithWebIdentity",
             "Condition": {"StringEquals": {KEY: ["system:serviceaccount:web:shop", "system:serviceaccount:web:cart"]}}},
            {"Effect": "Allow", "Principal": {"Service": ["pods.eks.amazonaws.com", "lambda.amazonaws.com", "ec2.amazonaws.com.cn"]},
             "Action": ["sts:AssumeRole", "sts:TagSession"]},
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:role/ci"}, "Action": "sts:AssumeRole"},
            {"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::123456789012:role/no"}, "Action": "sts:AssumeRole"},
        ]}))
    }

    #[test]
    fn a_trust_policy_says_who_may_come_in() {
        let trust = Trust::read(&policy());
        assert!(trust.pods && trust.ec2);
        assert_eq!(trust.services, ["lambda.amazonaws.com"]);
        assert_eq!(trust.aws, ["arn:aws:iam::123456789012:role/ci"]);
        assert_eq!(trust.web[0].subjects, ["system:serviceaccount:web:shop", "system:serviceaccount:web:cart"]);
        assert_eq!(trust.count(), 4);
        let open =
            Policy::from(&json!({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}}));
        assert_eq!(Trust::read(&open).aws, ["*"]);
    }

    #[test]
    fn the_way_back_is_closed_for_one_service_account_or_for_all_and_once() {
        let trust = Trust::read(&policy());
        let one = closed(&policy(), &trust.to_close(Some("system:serviceaccount:web:shop")), &mark());
        let added = one.statements().into_iter().last().expect("a statement");
        assert_eq!(
            added,
            json!({"Sid": "Stanch0123456789abcdef01234567", "Effect": "Deny", "Principal": {"Federated": PROVIDER},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {KEY: "system:serviceaccount:web:shop"}}})
        );
        assert_eq!(one.statements().len(), 5);
        assert_eq!(closed(&one, &trust.to_close(Some("system:serviceaccount:web:shop")), &mark()), one);
        // A second incident about another account of the same role adds to it.
        let two = closed(&one, &trust.to_close(Some("system:serviceaccount:web:cart")), &mark());
        assert_eq!(two.statements().len(), 6);
        let all = closed(&policy(), &trust.to_close(None), &mark());
        assert!(
            all.text().contains(r#"["system:serviceaccount:web:shop","system:serviceaccount:web:cart"]"#),
            "{all:?}"
        );
        assert!(trust.to_close(Some("system:serviceaccount:web:other")).is_empty(), "it could not come in");
    }

    #[test]
    fn a_pattern_of_subjects_is_closed_whole() {
        let like = Policy::from(&json!({"Statement": [
            {"Effect": "Allow", "Principal": {"Federated": PROVIDER}, "Action": "sts:AssumeRoleWithWebIdentity",
             "Condition": {"StringLike": {KEY: "system:serviceaccount:web:*"}}}]}));
        let ways = Trust::read(&like).to_close(None);
        assert_eq!(ways[0].subjects, Vec::<String>::new());
        let shut = closed(&like, &ways, &mark());
        assert_eq!(shut.statements()[1].get("Condition"), None);
    }
}
