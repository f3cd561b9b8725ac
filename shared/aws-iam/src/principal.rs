//! An IAM principal as responders need to know it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use stanch_core::{
    Error, Kind, Result,
    names::{AccountId, IamName},
};

use crate::policy::Policy;

/// A role or a user, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// A role.
    Role(IamName),
    /// A user.
    User(IamName),
}

impl Who {
    /// Its name.
    pub const fn name(&self) -> &IamName {
        match self {
            Self::Role(name) | Self::User(name) => name,
        }
    }

    /// How much its inline policies may hold together (IAM User Guide: "IAM and AWS STS quotas").
    pub const fn quota(&self) -> usize {
        match self {
            Self::Role(_) => 10_240,
            Self::User(_) => 2_048,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(name) => write!(f, "role/{name}"),
            Self::User(name) => write!(f, "user/{name}"),
        }
    }
}

/// What `identify` reads of a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Role or user.
    pub who: Who,
    /// The account that it belongs to.
    pub account: AccountId,
    /// `AROA…` or `AIDA…`: never given away again.
    pub id: String,
    /// Its ARN, path included.
    pub arn: String,
    /// Its path, `/` where it has none.
    pub path: String,
    /// Who may assume it; none for a user.
    pub trust: Option<Policy>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Principal {
    /// Whether it may be contained at all, by those who it would be: `caller` is the ARN that we act under.
    ///
    /// # Errors
    /// [`Kind::Refused`] for our own role or user; [`Kind::Unsupported`] for what a service owns.
    pub fn admit(&self, caller: &str) -> Result<()> {
        if is_caller(&self.account, &self.who, caller) {
            return Err(
                Error::refused("it is who we act as: containing it would end this very work").on(self.who.to_string())
            );
        }
        let unsupported = |message: &str| Error::new(Kind::Unsupported, "plan", message).on(self.who.to_string());
        if self.path.starts_with("/aws-service-role/") {
            return Err(unsupported(
                "it is a service-linked role, which only its service can change: contain the service's resources instead",
            ));
        }
        let reserved = self.who.name().as_str().starts_with("AWSReservedSSO_");
        if reserved || self.path.starts_with("/aws-reserved/") {
            return Err(unsupported(
                "IAM Identity Center owns it and would restore it: there, disable the user or remove the assignment \
                 (aws sso-admin delete-account-assignment), and revoke its sessions",
            ));
        }
        Ok(())
    }
}

/// Whether an ARN of a caller is that principal's: `arn:…:sts::…:assumed-role/NAME/SESSION` has no path,
/// `arn:…:iam::…:user/PATH/NAME` has.
pub fn is_caller(account: &AccountId, who: &Who, caller: &str) -> bool {
    let mut parts = caller.splitn(6, ':').skip(4);
    let (Some(of), Some(resource)) = (parts.next(), parts.next()) else { return false };
    let mut names = resource.split('/');
    let caller_name = match (names.next(), who) {
        (Some("assumed-role"), Who::Role(_)) => names.next(),
        (Some("user"), Who::User(_)) => names.next_back(),
        _ => None,
    };
    of == account.as_str() && caller_name == Some(who.name().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(who: Who, path: &str) -> Principal {
        Principal {
            who,
            account: "123456789012".parse().expect("an account"),
            id: "AROAEXAMPLEEXAMPLE12".to_owned(),
            arn: String::new(),
            path: path.to_owned(),
            trust: None,
            tags: BTreeMap::new(),
        }
    }

    fn role(name: &str, path: &str) -> Principal {
        principal(Who::Role(name.parse().expect("a name")), path)
    }

    #[test]
    fn who_must_not_be_contained_is_not() {
        let caller = "arn:aws:sts::123456789012:assumed-role/stanch-contain-principal/session";
        let kind = |principal: &Principal| principal.admit(caller).err().map(|error| error.kind());
        assert_eq!(kind(&role("web", "/")), None);
        assert_eq!(kind(&role("web", "/team/a/")), None);
        assert_eq!(kind(&role("stanch-contain-principal", "/")), Some(Kind::Refused));
        assert_eq!(kind(&role("stanch-contain-principal", "/deep/path/")), Some(Kind::Refused));
        let service = role("AWSServiceRoleForAutoScaling", "/aws-service-role/autoscaling.amazonaws.com/");
        assert_eq!(kind(&service), Some(Kind::Unsupported));
        let center = role("AWSReservedSSO_Admin_0123456789abcdef", "/aws-reserved/sso.amazonaws.com/eu-central-1/");
        let error = center.admit(caller).expect_err("owned by Identity Center");
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.message().contains("Identity Center"), "{error}");

        let user = |name: &str| principal(Who::User(name.parse().expect("a name")), "/");
        let own = |name: &str, caller: &str| user(name).admit(caller).is_err();
        assert!(own("ann", "arn:aws:iam::123456789012:user/people/ann"));
        assert!(!own("ann", "arn:aws:iam::999999999999:user/people/ann"), "another account");
        assert!(!own("people", "arn:aws:iam::123456789012:user/people/ann"));
        assert!(!own("ann", "arn:aws:sts::123456789012:assumed-role/ann/s"), "a role of that name is another one");
        assert!(!own("ann", "nonsense"));
    }
}
