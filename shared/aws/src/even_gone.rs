//! An instance that is found even when it is terminated: for a responder whose own work makes it so.

use stanch_core::{
    Check, Cloud, Identity, Kind, Permissions, Result, Scope, Target, TargetKind, target::Ec2Instance,
};

use crate::{
    cloud::Aws,
    instance::Instance,
    reach::{Ec2, Reach},
};

/// An EC2 instance, terminated or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvenGone(pub Ec2Instance);

impl From<EvenGone> for Target {
    fn from(target: EvenGone) -> Self {
        target.0.into()
    }
}

impl TargetKind for EvenGone {
    const KINDS: &'static [&'static str] = Ec2Instance::KINDS;
    fn of(target: &Target) -> Option<Self> {
        Ec2Instance::of(target).map(Self)
    }
}

impl<S: Reach> Cloud<EvenGone> for Ec2<S> {
    type Api = S::Api;
    type Facts = Instance;

    fn from_env() -> Result<Self> {
        <Self as Cloud<Ec2Instance>>::from_env()
    }

    fn needing(self, responder: &'static str, needs: Permissions) -> Self {
        <Self as Cloud<Ec2Instance>>::needing(self, responder, needs)
    }

    async fn warm(&self) {
        <Self as Cloud<Ec2Instance>>::warm(self).await;
    }

    fn uid(&self, target: &EvenGone) -> Option<String> {
        <Self as Cloud<Ec2Instance>>::uid(self, &target.0)
    }

    async fn home(&self) -> Result<Scope> {
        <Self as Cloud<Ec2Instance>>::home(self).await
    }

    async fn connect(&self, target: &EvenGone) -> Result<S::Api> {
        <Self as Cloud<Ec2Instance>>::connect(self, &target.0).await
    }

    async fn identify(&self, _: &S::Api, target: &EvenGone) -> Result<Identity<Instance>> {
        let api = self.aws().connect(&target.0).await?;
        let facts = match api.instance_even_gone(&target.0.id).await {
            Ok(facts) => facts,
            // An id is never used again, so that one that EC2 no longer knows is one that has ended, or never was.
            Err(error) if error.kind() == Kind::NotFound => {
                Instance { state: "terminated".to_owned(), ..Instance::default() }
            }
            Err(error) => return Err(error),
        };
        Ok(Aws::identity_of(&target.0, facts))
    }

    async fn check(&self, api: &S::Api, target: &EvenGone, needs: &Permissions) -> Vec<Check> {
        <Self as Cloud<Ec2Instance>>::check(self, api, &target.0, needs).await
    }
}
