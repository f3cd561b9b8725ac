//! IAM principals as targets.

use futures::future::try_join;
use stanch_aws::{Aws, exempt, grants::Names};
use stanch_core::{
    Check, Cloud, Error, Identity, Kind, Permissions, Result, Scope,
    target::{Ec2Instance, IamPrincipal, IamWho},
};

use crate::{
    api::IamApi,
    check,
    principal::{Principal, Who},
};

/// AWS, with IAM principals as targets.
#[derive(Debug, Default)]
pub struct AwsIam(Aws);

impl From<Aws> for AwsIam {
    fn from(aws: Aws) -> Self {
        Self(aws)
    }
}

impl AwsIam {
    /// The AWS behind it, for another part of the wing.
    pub const fn aws(&self) -> &Aws {
        &self.0
    }

    /// What the credentials for an order are limited to. A key does not tell whose it is.
    pub fn names(target: &IamPrincipal) -> Names {
        let principal = match &target.who {
            IamWho::User(name) | IamWho::Role(name) => Some(name.to_string()),
            IamWho::AccessKey(_) => None,
        };
        Names { account: Some(target.account.clone()), principal, ..Names::default() }
    }

    /// Who a target is, and under which ARN we act, at once.
    ///
    /// # Errors
    /// [`Kind::Conflict`] when another one took its name; [`Kind::Refused`] and [`Kind::Unsupported`] for who must not
    /// be contained.
    pub async fn identity(api: &IamApi, target: &IamPrincipal) -> Result<Identity<Principal>> {
        let who = match &target.who {
            IamWho::User(name) => Who::User(name.clone()),
            IamWho::Role(name) => Who::Role(name.clone()),
            IamWho::AccessKey(key) => api.owner_of(key).await?,
        };
        let (facts, caller) = try_join(api.principal(&who), api.caller()).await?;
        if target.unique_id.as_ref().is_some_and(|id| id.as_str() != facts.id) {
            let message = "the accused one is gone, and this one was made later under its name";
            return Err(Error::new(Kind::Conflict, "identify", message).on(who.to_string()));
        }
        if account_of(&facts.arn) != Some(target.account.as_str()) {
            let message = format!("these credentials see it in another account than {}", target.account);
            return Err(Error::new(Kind::Conflict, "identify", message).on(who.to_string()));
        }
        facts.admit(&caller)?;
        let named = match &who {
            Who::User(name) => IamWho::User(name.clone()),
            Who::Role(name) => IamWho::Role(name.clone()),
        };
        let full = IamPrincipal { account: target.account.clone(), who: named, unique_id: facts.id.parse().ok() };
        Ok(Identity {
            uid: facts.id.clone(),
            target: full.into(),
            exempt: exempt(&facts.tags).into_iter().collect(),
            facts,
        })
    }
}

fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4)
}

impl Cloud<IamPrincipal> for AwsIam {
    type Api = IamApi;
    type Facts = Principal;

    fn from_env() -> Result<Self> {
        <Aws as Cloud<Ec2Instance>>::from_env().map(Self)
    }

    fn needing(self, responder: &'static str, needs: Permissions) -> Self {
        Self(<Aws as Cloud<Ec2Instance>>::needing(self.0, responder, needs))
    }

    async fn warm(&self) {
        <Aws as Cloud<Ec2Instance>>::warm(&self.0).await;
    }

    async fn home(&self) -> Result<Scope> {
        <Aws as Cloud<Ec2Instance>>::home(&self.0).await
    }

    async fn connect(&self, target: &IamPrincipal) -> Result<IamApi> {
        let config = self.0.session_on(&target.account, None, Self::names(target)).await?;
        Ok(IamApi::new(&config, &target.account))
    }

    async fn identify(&self, api: &IamApi, target: &IamPrincipal) -> Result<Identity<Principal>> {
        Self::identity(api, target).await
    }

    async fn check(&self, api: &IamApi, target: &IamPrincipal, needs: &Permissions) -> Vec<Check> {
        check::permissions(api, &target.account, needs).await
    }

    async fn check_scope(&self, scope: &Scope, needs: &Permissions) -> Vec<Check> {
        <Aws as Cloud<Ec2Instance>>::check_scope(&self.0, scope, needs).await
    }
}
