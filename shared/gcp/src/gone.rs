//! Google Cloud for a responder whose success is that the target is not there any more: an instance that is gone is
//! found to be gone, and no error. So an order that is delivered again is answered `already`, and a run that died after
//! the deletion closes its record.

use stanch_core::{Check, Cloud, Identity, Kind, Permissions, Result, Scope, target::GceInstance};

use crate::{api::GceApi, cloud::Gcp, facts::GceFacts};

/// [`Gcp`], for which a target may be gone.
#[derive(Clone, Debug)]
pub struct GcpOrGone(pub Gcp);

impl From<Gcp> for GcpOrGone {
    fn from(cloud: Gcp) -> Self {
        Self(cloud)
    }
}

impl Cloud<GceInstance> for GcpOrGone {
    type Api = GceApi;
    /// None: it is gone.
    type Facts = Option<GceFacts>;

    fn from_env() -> Result<Self> {
        Gcp::of_env().map(Self)
    }

    async fn warm(&self) {
        Cloud::<GceInstance>::warm(&self.0).await;
    }

    async fn home(&self) -> Result<Scope> {
        Cloud::<GceInstance>::home(&self.0).await
    }

    async fn connect(&self, target: &GceInstance) -> Result<GceApi> {
        self.0.connect(target).await
    }

    /// Only an instance that is named by its number can be told to be gone: a name may come again.
    async fn identify(&self, api: &GceApi, target: &GceInstance) -> Result<Identity<Option<GceFacts>>> {
        match self.0.identify(api, target).await {
            Ok(Identity { uid, target, exempt, facts }) => Ok(Identity { uid, target, exempt, facts: Some(facts) }),
            // A conflict: another instance has the name, so that this one is looked for by its number.
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict) => {
                let Some(id) = target.id.clone() else { return Err(error) };
                let by_id = GceInstance { name: None, ..target.clone() };
                match api.instance(&by_id).await {
                    Ok(_) => Err(error),
                    Err(gone) if gone.kind() == Kind::NotFound => Ok(Identity {
                        uid: id.to_string(),
                        target: target.clone().into(),
                        exempt: Vec::new(),
                        facts: None,
                    }),
                    Err(other) => Err(other),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn check(&self, api: &GceApi, target: &GceInstance, needs: &Permissions) -> Vec<Check> {
        self.0.check(api, target, needs).await
    }

    async fn check_scope(&self, scope: &Scope, needs: &Permissions) -> Vec<Check> {
        self.0.check_project(scope, needs).await
    }
}
