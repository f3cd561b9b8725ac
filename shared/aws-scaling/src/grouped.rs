//! An instance, and the group that it is in.

use stanch_aws::{Aws, Ec2, Instance, Reach, check_line, grants::Names};
use stanch_core::{Check, Cloud, Error, Identity, Permission, Permissions, Result, Scope, target::Ec2Instance};

use crate::api::{Group, Lifecycle, ScalingApi};

/// An instance as `identify` finds it, with its group.
#[derive(Clone, Debug)]
pub struct Grouped {
    /// The instance.
    pub instance: Instance,
    /// The Auto Scaling group that it is in.
    pub group: Option<Group>,
}

impl Grouped {
    /// The group that it serves in, which would replace it when it fails.
    pub fn serving(&self) -> Option<&Group> {
        self.group.as_ref().filter(|group| group.lifecycle == Lifecycle::InService)
    }

    /// Cutting what serves makes its group replace it, and end the evidence with it.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Refused`] while it serves in a group, unless the order says `even_if_managed`.
    pub fn refuse_in_service(&self, target: &Ec2Instance, even_if_managed: bool) -> Result<()> {
        match self.serving() {
            Some(group) if !even_if_managed => Err(Error::refused(format!(
                "{} is in service in the Auto Scaling group {}, which would replace it, and end the evidence with it: \
                 order aws-release-instance first, or set options.even_if_managed",
                target.id, group.name
            ))),
            _ => Ok(()),
        }
    }
}

/// The cloud of a responder that writes slots of type `S` and must know of the group.
#[derive(Debug)]
pub struct InGroup<S> {
    ec2: Ec2<S>,
}

impl<S> From<Aws> for InGroup<S> {
    fn from(aws: Aws) -> Self {
        Self { ec2: aws.into() }
    }
}

impl<S> InGroup<S> {
    async fn scaling(&self, target: &Ec2Instance) -> Result<ScalingApi> {
        let names = Names::of(target);
        Ok(ScalingApi::connect(&self.ec2.aws().session_on(&target.account, Some(&target.region), names).await?))
    }
}

impl<S: Reach> Cloud<Ec2Instance> for InGroup<S> {
    type Api = S::Api;
    type Facts = Grouped;

    fn from_env() -> Result<Self> {
        Ok(Self { ec2: <Ec2<S> as Cloud<Ec2Instance>>::from_env()? })
    }

    fn needing(self, responder: &'static str, needs: Permissions) -> Self {
        Self { ec2: Cloud::<Ec2Instance>::needing(self.ec2, responder, needs) }
    }

    async fn warm(&self) {
        Cloud::<Ec2Instance>::warm(&self.ec2).await;
    }

    fn uid(&self, target: &Ec2Instance) -> Option<String> {
        self.ec2.uid(target)
    }

    async fn home(&self) -> Result<Scope> {
        Cloud::<Ec2Instance>::home(&self.ec2).await
    }

    async fn connect(&self, target: &Ec2Instance) -> Result<S::Api> {
        self.ec2.connect(target).await
    }

    async fn identify(&self, api: &S::Api, target: &Ec2Instance) -> Result<Identity<Grouped>> {
        let found = self.ec2.identify(api, target).await?;
        let group = self.scaling(target).await?.group_of(&target.id, &found.facts).await?;
        let facts = Grouped { instance: found.facts, group };
        Ok(Identity { uid: found.uid, target: found.target, exempt: found.exempt, facts })
    }

    async fn check(&self, api: &S::Api, target: &Ec2Instance, needs: &Permissions) -> Vec<Check> {
        let mut lines = self.ec2.check(api, target, needs).await;
        let Ok(scaling) = self.scaling(target).await else { return lines };
        for permission in needs.plan.iter().chain(needs.apply).chain(needs.revert) {
            let Permission::Aws(action) = permission else { continue };
            if let Some(tried) = scaling.attempt(target, action).await {
                lines.retain(|line| line.what != *action);
                lines.push(check_line(action, tried));
            }
        }
        lines
    }

    async fn check_scope(&self, scope: &Scope, needs: &Permissions) -> Vec<Check> {
        Cloud::<Ec2Instance>::check_scope(&self.ec2, scope, needs).await
    }
}
