//! A cloud that reaches just what a responder's slot writes.

use std::marker::PhantomData;

use aws_config::SdkConfig;
use stanch_core::{Check, Cloud, Either, Identity, Permission, Permissions, Result, Scope, Slot, target::Ec2Instance};

use crate::{check, cloud::Aws, ec2::Ec2Api, grants::Names, instance::Instance};

/// A slot that says how its clients are made and how its permissions are tried. A program links the calls of the
/// slots that it names, and no others.
pub trait Reach: Slot {
    /// Its clients, for the target's account and region.
    fn connect(config: &SdkConfig, target: &Ec2Instance) -> Self::Api;

    /// Whether an IAM action is allowed, tried without doing it; `None` where the action is not one of its own.
    fn attempt(
        api: &Self::Api,
        target: &Ec2Instance,
        action: &'static str,
    ) -> impl Future<Output = Option<Result<()>>> + Send;
}

impl<A: Reach<Token: Clone>, B: Reach<Token: Clone>> Reach for Either<A, B> {
    fn connect(config: &SdkConfig, target: &Ec2Instance) -> Self::Api {
        (A::connect(config, target), B::connect(config, target))
    }

    async fn attempt(api: &Self::Api, target: &Ec2Instance, action: &'static str) -> Option<Result<()>> {
        match A::attempt(&api.0, target, action).await {
            Some(tried) => Some(tried),
            None => B::attempt(&api.1, target, action).await,
        }
    }
}

/// An EC2 instance, for a responder that writes slots of type `S`.
#[derive(Debug)]
pub struct Ec2<S> {
    aws: Aws,
    slot: PhantomData<fn() -> S>,
}

impl<S> Ec2<S> {
    /// Where its configuration comes from.
    pub const fn aws(&self) -> &Aws {
        &self.aws
    }
}

impl<S> From<Aws> for Ec2<S> {
    fn from(aws: Aws) -> Self {
        Self { aws, slot: PhantomData }
    }
}

impl<S: Reach> Cloud<Ec2Instance> for Ec2<S> {
    type Api = S::Api;
    type Facts = Instance;

    fn from_env() -> Result<Self> {
        Aws::from_env().map(Self::from)
    }

    fn needing(self, responder: &'static str, needs: Permissions) -> Self {
        self.aws.needing(responder, needs).into()
    }

    async fn warm(&self) {
        self.aws.warm().await;
    }

    fn uid(&self, target: &Ec2Instance) -> Option<String> {
        self.aws.uid(target)
    }

    async fn home(&self) -> Result<Scope> {
        self.aws.home().await
    }

    async fn connect(&self, target: &Ec2Instance) -> Result<S::Api> {
        let config = self.aws.session_on(&target.account, Some(&target.region), Names::of(target)).await?;
        Ok(S::connect(&config, target))
    }

    async fn identify(&self, _: &S::Api, target: &Ec2Instance) -> Result<Identity<Instance>> {
        let api = self.aws.connect(target).await?;
        self.aws.identify(&api, target).await
    }

    async fn check(&self, api: &S::Api, target: &Ec2Instance, needs: &Permissions) -> Vec<Check> {
        let mut lines = vec![self.aws.check_identity(target).await];
        let looks = self.aws.connect(target).await;
        for permission in needs.plan.iter().chain(needs.apply).chain(needs.revert) {
            let Permission::Aws(action) = permission else { continue };
            let tried = match (*action, &looks) {
                ("ec2:DescribeInstances", Ok(looks)) => Some(may_look(looks, target).await),
                _ => S::attempt(api, target, action).await,
            };
            lines.push(check::line(action, tried.unwrap_or_else(|| Err(check::unknown(action)))));
        }
        lines
    }

    async fn check_scope(&self, scope: &Scope, needs: &Permissions) -> Vec<Check> {
        self.aws.check_scope(scope, needs).await
    }
}

async fn may_look(api: &Ec2Api, target: &Ec2Instance) -> Result<()> {
    check::describe_instances(api, &target.id).await
}
