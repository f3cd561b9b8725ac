//! The look-ups, bound to one account; the region is the cluster's.

use std::collections::BTreeMap;

use aws_sdk_eks::{
    Client, operation::describe_pod_identity_association::DescribePodIdentityAssociationError,
    types::PodIdentityAssociation as Described,
};
use serde::{Deserialize, Serialize};
use stanch_aws::{SdkConfig, classify};
use stanch_core::{
    Result,
    names::{EksName, KubeName, Namespace, Region},
};

/// What can be looked up about Pod Identity. Nothing here writes.
#[derive(Clone, Debug)]
pub struct EksApi {
    config: SdkConfig,
}

/// What an association gives, apart from its id: enough to make it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodIdentity {
    /// The role's ARN.
    pub role: String,
    /// The role in another account that is assumed from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_role: Option<String>,
    /// The session policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Sessions carry no tags.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_session_tags: bool,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl EksApi {
    /// With this configuration.
    pub fn new(config: &SdkConfig) -> Self {
        Self { config: config.clone() }
    }

    pub(crate) fn client(&self, region: &Region) -> Client {
        let config = aws_sdk_eks::config::Builder::from(&self.config);
        Client::from_conf(config.region(aws_sdk_eks::config::Region::new(region.to_string())).build())
    }

    /// The region that is looked in where nobody names one: our own.
    pub fn own_region(&self) -> Option<Region> {
        self.config.region().and_then(|region| region.as_ref().parse().ok())
    }

    /// The clusters of a region. One call a page, `eks:ListClusters`.
    ///
    /// # Errors
    /// Whatever EKS answers, classified.
    pub async fn clusters(&self, region: &Region) -> Result<Vec<EksName>> {
        let client = self.client(region);
        let mut found = client.list_clusters().into_paginator().items().send();
        let mut names = Vec::new();
        while let Some(name) = found.next().await {
            let name = name.map_err(|error| classify("eks:ListClusters", region.as_str(), error))?;
            names.extend(name.parse());
        }
        Ok(names)
    }

    /// The service accounts of a cluster that have an association. One call a page,
    /// `eks:ListPodIdentityAssociations`.
    ///
    /// # Errors
    /// Whatever EKS answers, classified.
    pub async fn accounts(&self, region: &Region, cluster: &EksName) -> Result<Vec<(Namespace, KubeName)>> {
        let client = self.client(region);
        let call = client.list_pod_identity_associations().cluster_name(cluster.as_str());
        let mut found = call.into_paginator().items().send();
        let mut accounts = Vec::new();
        while let Some(it) = found.next().await {
            let it = it.map_err(|error| classify("eks:ListPodIdentityAssociations", cluster.as_str(), error))?;
            let namespace = it.namespace().and_then(|name| name.parse().ok());
            let account = it.service_account().and_then(|name| name.parse().ok());
            accounts.extend(namespace.zip(account));
        }
        Ok(accounts)
    }

    /// The association of a service account and its id. Two calls: EKS lists ids only.
    ///
    /// # Errors
    /// Whatever EKS answers, classified.
    pub async fn association(
        &self,
        region: &Region,
        cluster: &EksName,
        namespace: &Namespace,
        account: &KubeName,
    ) -> Result<Option<(String, PodIdentity)>> {
        let client = self.client(region);
        let listed = client
            .list_pod_identity_associations()
            .cluster_name(cluster.as_str())
            .namespace(namespace.as_str())
            .service_account(account.as_str())
            .send()
            .await
            .map_err(|error| classify("eks:ListPodIdentityAssociations", cluster.as_str(), error))?;
        let named = |it: &&aws_sdk_eks::types::PodIdentityAssociationSummary| {
            it.namespace() == Some(namespace.as_str()) && it.service_account() == Some(account.as_str())
        };
        let Some(id) = listed.associations().iter().find(named).and_then(|it| it.association_id()) else {
            return Ok(None);
        };
        let described = client.describe_pod_identity_association().cluster_name(cluster.as_str()).association_id(id);
        let described = match described.send().await {
            Ok(described) => described,
            // Deleted since it was listed, as by another delivery of the same alert.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribePodIdentityAssociationError::is_resource_not_found_exception) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(classify("eks:DescribePodIdentityAssociation", cluster.as_str(), error)),
        };
        Ok(described.association().and_then(PodIdentity::read).map(|it| (id.to_owned(), it)))
    }
}

impl PodIdentity {
    fn read(described: &Described) -> Option<Self> {
        Some(Self {
            role: described.role_arn()?.to_owned(),
            target_role: described.target_role_arn().map(str::to_owned),
            policy: described.policy().map(str::to_owned),
            without_session_tags: described.disable_session_tags() == Some(true),
            tags: described
                .tags()
                .into_iter()
                .flatten()
                .filter(|(key, _)| !key.starts_with("aws:"))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        })
    }
}
