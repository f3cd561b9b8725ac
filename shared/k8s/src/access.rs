//! From a cluster's name to a client for it, kept for the life of the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use stanch_core::{Error, Kind, Result, target::Cluster};

use crate::{
    KubeApi,
    dial::{self, Patience},
    own::Own,
};

const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(10);

/// A client is built anew this long before its EKS token ends: longer than an order takes.
const MARGIN: SignedDuration = SignedDuration::from_mins(3);

/// The clusters of this process.
#[derive(Default)]
pub struct Kube {
    home: Option<Cluster>,
    silence: Option<Duration>,
    #[cfg(feature = "server")]
    elsewhere: crate::elsewhere::Elsewhere,
    clients: Mutex<BTreeMap<Cluster, Arc<Slot>>>,
}

/// One client. The lock is held while it is built, so that it is built once.
type Slot = tokio::sync::Mutex<Option<Ready>>;

pub(crate) struct Ready {
    pub(crate) client: Client,
    pub(crate) own: Option<Arc<Own>>,
    /// Until when the client is kept.
    pub(crate) expires: Option<Timestamp>,
}

impl std::fmt::Debug for Kube {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kube").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Kube {
    /// Reads `STANCH_CLUSTER`. The kubeconfig is read when it is needed.
    pub(crate) fn from_environment() -> Result<Self> {
        let home = match std::env::var("STANCH_CLUSTER") {
            Ok(text) if !text.is_empty() => {
                Some(text.parse().map_err(|error: Error| Error::invalid("STANCH_CLUSTER", error.message()))?)
            }
            Ok(_) | Err(std::env::VarError::NotPresent) => None,
            Err(std::env::VarError::NotUnicode(_)) => return Err(Error::invalid("STANCH_CLUSTER", "is not text")),
        };
        Ok(Self { home, ..Self::default() })
    }

    /// With this kubeconfig in place of the environment's, and `home` in place of `STANCH_CLUSTER`.
    #[cfg(feature = "server")]
    pub fn with_kubeconfig(path: impl Into<std::path::PathBuf>, home: Option<Cluster>) -> Self {
        Self { home, elsewhere: crate::elsewhere::Elsewhere::with_kubeconfig(path.into()), ..Self::default() }
    }

    /// For how long a connection may be silent before a call is given up; ten seconds where nothing is said.
    #[must_use]
    pub fn limiting_calls(mut self, silence: Duration) -> Self {
        self.silence = Some(silence);
        self
    }

    /// The cluster that we run in.
    pub(crate) fn own_cluster(&self) -> Cluster {
        self.home.clone().unwrap_or(Cluster::Current)
    }

    /// The look-ups of a cluster.
    ///
    /// # Errors
    /// [`Kind::Denied`] without credentials, [`Kind::NotFound`] without such a cluster or context,
    /// [`Kind::Invalid`] when the kubeconfig cannot be read.
    pub async fn api(&self, cluster: &Cluster) -> Result<KubeApi> {
        let slot =
            Arc::clone(self.clients.lock().unwrap_or_else(PoisonError::into_inner).entry(cluster.clone()).or_default());
        let mut ready = slot.lock().await;
        if let Some(Ready { client, own, expires }) = &*ready
            && expires.is_none_or(|expires| Timestamp::now() < expires)
        {
            return Ok(KubeApi::new(client.clone(), cluster.clone(), own.clone()));
        }
        // Boxed: the futures of two SDKs and a kubeconfig's would make those of every caller too deep to lay out.
        let building: BoxFuture<'_, Result<Ready>> = Box::pin(self.build(cluster));
        let built = building.await?;
        let api = KubeApi::new(built.client.clone(), cluster.clone(), built.own.clone());
        *ready = Some(built);
        Ok(api)
    }

    async fn build(&self, cluster: &Cluster) -> Result<Ready> {
        let patience = Patience { connect: CONNECT, silence: self.silence.unwrap_or(SILENCE) };
        #[cfg(feature = "server")]
        if let Some(ready) = self.elsewhere.build(cluster, patience).await? {
            return Ok(ready);
        }
        let Cluster::Eks { account, region, name } = cluster else {
            let message = "a package for Lambda reaches clusters of EKS: for others, run the image";
            return Err(Error::new(Kind::Unsupported, "connect", message).on(cluster.to_string()));
        };
        let access = stanch_eks::access(account, region, name).await?;
        let broken = |why| Error::new(Kind::Internal, "connect", why).on(access.server.clone());
        let client = dial::client(&access.server, &access.ca_pem, &access.token, patience).map_err(broken)?;
        Ok(Ready { client, own: None, expires: Some(access.expires.checked_sub(MARGIN).unwrap_or(access.expires)) })
    }
}
