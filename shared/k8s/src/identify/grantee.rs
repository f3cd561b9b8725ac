//! Whom role bindings give rights to.

use stanch_core::{
    Identity, Result, Target,
    names::SubjectName,
    target::{KubeSubject, KubeWho, ServiceAccount},
};

use super::{KubeTarget, namespace, namespace::AccountFacts};
use crate::{Grantee, KubeApi, Who};

/// Whom rights are given to, as it was found.
#[derive(Clone, Debug)]
pub struct GranteeFacts {
    /// As subjects of bindings name it.
    pub who: Who,
    /// The service account, if it is one.
    pub account: Option<AccountFacts>,
}

impl KubeTarget for Grantee {
    type Facts = GranteeFacts;

    async fn identify(&self, api: &KubeApi) -> Result<Identity<GranteeFacts>> {
        match self {
            Self::ServiceAccount(account) => of_account(api, account).await,
            Self::KubeSubject(subject) => of_subject(api, subject).await,
        }
    }
}

async fn of_account(api: &KubeApi, account: &ServiceAccount) -> Result<Identity<GranteeFacts>> {
    let (found, exempt) = namespace::find(api, account).await?;
    let who = Who::Account { namespace: account.namespace.clone(), name: account.name.clone() };
    Ok(Identity {
        uid: found.object.uid.as_ref().map(ToString::to_string).unwrap_or_default(),
        target: account.clone().into(),
        exempt,
        facts: GranteeFacts { who, account: Some(found) },
    })
}

/// A user or a group is a name and nothing else, so the name is what does not change.
async fn of_subject(api: &KubeApi, subject: &KubeSubject) -> Result<Identity<GranteeFacts>> {
    let who = match &subject.who {
        KubeWho::User(name) => match account_of(subject, name)? {
            Some(account) => return of_account(api, &account).await,
            None => Who::User(name.clone()),
        },
        KubeWho::Group(name) => Who::Group(name.clone()),
    };
    Ok(Identity {
        uid: Target::from(subject.clone()).to_string(),
        target: subject.clone().into(),
        exempt: Vec::new(),
        facts: GranteeFacts { who, account: None },
    })
}

/// The user that stands for a service account is that account: under either name it has one record.
fn account_of(subject: &KubeSubject, user: &SubjectName) -> Result<Option<ServiceAccount>> {
    let Some(account) = user.as_str().strip_prefix("system:serviceaccount:") else { return Ok(None) };
    let (namespace, name) = account.split_once(':').unwrap_or((account, ""));
    let within = |error: stanch_core::Error| error.within("target.user");
    Ok(Some(ServiceAccount {
        cluster: subject.cluster.clone(),
        namespace: namespace.parse().map_err(within)?,
        name: name.parse().map_err(within)?,
    }))
}
