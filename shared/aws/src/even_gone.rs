//! An instance that is found even when it is terminated: for a responder whose own work makes it so.

use stanch_core::{Check, Cloud, Identity, Kind, Permissions, Result, Scope, target::Ec2Instance};

use crate::{
    cloud::Aws,
    instance::Instance,
    reach::{Ec2, Reach},
};

/// An EC2 instance, terminated or not, for a responder that writes slots of type `S`.
#[derive(Debug)]
pub struct EvenGone<S>(Ec2<S>);

impl<S> From<Aws> for EvenGone<S> {
    fn from(aws: Aws) -> Self {
        Self(aws.into())
    }
}

impl<S: Reach> Cloud<Ec2Instance> for EvenGone<S> {
    type Api = S::Api;
    type Facts = Instance;

    fn from_env() -> Result<Self> {
        Ec2::from_env().map(Self)
    }

    fn needing(self, responder: &'static str, needs: Permissions) -> Self {
        Self(self.0.needing(responder, needs))
    }

    async fn warm(&self) {
        self.0.warm().await;
    }

    fn uid(&self, target: &Ec2Instance) -> Option<String> {
        self.0.uid(target)
    }

    async fn home(&self) -> Result<Scope> {
        self.0.home().await
    }

    async fn connect(&self, target: &Ec2Instance) -> Result<S::Api> {
        self.0.connect(target).await
    }

    async fn identify(&self, _: &S::Api, target: &Ec2Instance) -> Result<Identity<Instance>> {
        let api = self.0.aws().connect(target).await?;
        let facts = match api.instance_even_gone(&target.id).await {
            Ok(facts) => facts,
            // An id is never used again, so that one that EC2 no longer knows is one that has ended, or never was.
            Err(error) if error.kind() == Kind::NotFound => {
                Instance { state: "terminated".to_owned(), ..Instance::default() }
            }
            Err(error) => return Err(error),
        };
        Ok(Aws::identity_of(target, facts))
    }

    async fn check(&self, api: &S::Api, target: &Ec2Instance, needs: &Permissions) -> Vec<Check> {
        self.0.check(api, target, needs).await
    }

    async fn check_scope(&self, scope: &Scope, needs: &Permissions) -> Vec<Check> {
        self.0.check_scope(scope, needs).await
    }
}
