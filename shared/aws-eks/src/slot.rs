//! The role that the pods of a service account get.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};
use stanch_aws::{classify, word};
use stanch_core::{
    Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot,
    names::{EksName, KubeName, Namespace, Region},
};

use crate::api::{EksApi, PodIdentity};

/// How long a change may not show (Amazon EKS User Guide: associations are eventually consistent).
const LAG: Duration = Duration::from_secs(10);

/// The association of one service account. There is at most one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodIdentitySlot {
    /// The cluster's region.
    pub region: Region,
    /// The cluster.
    pub cluster: EksName,
    /// The service account's namespace.
    pub namespace: Namespace,
    /// The service account.
    pub service_account: KubeName,
}

/// What it gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodIdentityState {
    /// The association, if there is one. Its id is EKS's, and another one each time.
    pub association: Option<PodIdentity>,
}

/// The association's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIdentityToken(Option<String>);

impl Slot for PodIdentitySlot {
    type Api = EksApi;
    type State = PodIdentityState;
    type Token = PodIdentityToken;

    async fn look(&self, api: &EksApi, _: &Mark) -> Result<Seen<Self>> {
        let found = api.association(&self.region, &self.cluster, &self.namespace, &self.service_account).await?;
        let (id, association) = found.map_or((None, None), |(id, it)| (Some(id), Some(it)));
        let ids = id.iter().cloned().collect();
        Ok(Seen { state: PodIdentityState { association }, token: PodIdentityToken(id), ids, settling: None })
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &EksApi) -> Result<()> {
        change.slot().carry_out(change.to(), seen, api).await
    }

    fn what(&self, to: &PodIdentityState) -> String {
        let account = format!("{}/{} in {}", self.namespace, self.service_account, self.cluster);
        match &to.association {
            None => format!("take its role from service account {account}"),
            Some(it) => format!("give {} to service account {account}", it.role),
        }
    }

    fn command(&self, to: &PodIdentityState, _: &Mark) -> String {
        let Self { region, cluster, namespace, service_account } = self;
        match &to.association {
            None => format!(
                "aws eks delete-pod-identity-association --region {region} --cluster-name {cluster} --association-id \
                 \"$(aws eks list-pod-identity-associations --region {region} --cluster-name {cluster} --namespace \
                 {namespace} --service-account {service_account} --query 'associations[0].associationId' --output text)\""
            ),
            Some(it) => format!(
                "aws eks create-pod-identity-association --region {region} --cluster-name {cluster} --namespace \
                 {namespace} --service-account {service_account} --role-arn {}",
                word(&it.role),
            ),
        }
    }

    fn visible_to_attacker(&self) -> bool {
        true
    }

    fn disruption(&self) -> Disruption {
        Disruption::Service
    }

    fn repeatable(&self) -> bool {
        true
    }

    fn lag(&self) -> Duration {
        LAG
    }
}

impl PodIdentitySlot {
    async fn carry_out(&self, to: &PodIdentityState, seen: &Seen<Self>, api: &EksApi) -> Result<()> {
        let client = api.client(&self.region);
        match (&to.association, &seen.token.0) {
            (None, Some(id)) => {
                let call = client.delete_pod_identity_association().cluster_name(self.cluster.as_str());
                let done = call.association_id(id).send().await;
                done.map(drop)
                    .map_err(|error| classify("eks:DeletePodIdentityAssociation", self.cluster.as_str(), error))
            }
            (Some(it), None) => {
                let tags: HashMap<_, _> = it.tags.clone().into_iter().collect();
                let done = client
                    .create_pod_identity_association()
                    .cluster_name(self.cluster.as_str())
                    .namespace(self.namespace.as_str())
                    .service_account(self.service_account.as_str())
                    .role_arn(&it.role)
                    .set_target_role_arn(it.target_role.clone())
                    .set_policy(it.policy.clone())
                    .set_disable_session_tags(it.without_session_tags.then_some(true))
                    .set_tags((!tags.is_empty()).then_some(tags))
                    .send()
                    .await;
                done.map(drop)
                    .map_err(|error| classify("eks:CreatePodIdentityAssociation", self.cluster.as_str(), error))
            }
            _ => Err(Error::new(Kind::Conflict, "write", "it was changed a moment ago").on(self.cluster.as_str())),
        }
    }
}
