//! IAM and EKS of the principal's account.

use stanch_aws::Aws;
use stanch_aws_eks::EksApi;
use stanch_aws_iam::{AwsIam, IamApi, Principal, check};
use stanch_core::{Check, Cloud, Identity, Permissions, Result, Scope, target::IamPrincipal};

/// The look-ups of both.
pub type Apis = (IamApi, EksApi);

/// AWS, with IAM principals as targets, and the clusters that give them to pods.
#[derive(Debug, Default)]
pub struct AwsIdentity(AwsIam);

impl From<Aws> for AwsIdentity {
    fn from(aws: Aws) -> Self {
        Self(aws.into())
    }
}

impl Cloud<IamPrincipal> for AwsIdentity {
    type Api = Apis;
    type Facts = Principal;

    fn from_env() -> Result<Self> {
        AwsIam::from_env().map(Self)
    }

    fn needing(self, responder: &'static str, needs: Permissions) -> Self {
        Self(self.0.needing(responder, needs))
    }

    async fn warm(&self) {
        self.0.warm().await;
    }

    async fn home(&self) -> Result<Scope> {
        self.0.home().await
    }

    async fn connect(&self, target: &IamPrincipal) -> Result<Apis> {
        let config = self.0.aws().session_on(&target.account, None, AwsIam::names(target)).await?;
        Ok((IamApi::new(&config, &target.account), EksApi::new(&config)))
    }

    async fn identify(&self, api: &Apis, target: &IamPrincipal) -> Result<Identity<Principal>> {
        AwsIam::identity(&api.0, target).await
    }

    async fn check(&self, api: &Apis, target: &IamPrincipal, needs: &Permissions) -> Vec<Check> {
        let mut lines = check::permissions(&api.0, &target.account, needs).await;
        if let Some(region) = api.1.own_region() {
            let tried = api.1.clusters(&region).await.map(drop);
            lines.push(stanch_aws::check_line("eks:ListClusters", tried));
        }
        lines
    }

    async fn check_scope(&self, scope: &Scope, needs: &Permissions) -> Vec<Check> {
        self.0.check_scope(scope, needs).await
    }
}
