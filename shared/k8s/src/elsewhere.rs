//! Clusters that are not reached through EKS: by a kubeconfig, through GKE, or from inside.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use kube::{
    Client, Config,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use stanch_core::{Error, Kind, Result, target::Cluster};
use stanch_gke::{ClusterAccess, Gke};

use crate::{
    access::Ready,
    dial::{self, Patience},
    kubeconfig,
    own::Own,
};

/// What is read or made once.
#[derive(Default)]
pub(crate) struct Elsewhere {
    kubeconfig: Option<PathBuf>,
    gke: OnceLock<Gke>,
}

impl Elsewhere {
    pub(crate) fn with_kubeconfig(path: PathBuf) -> Self {
        Self { kubeconfig: Some(path), ..Self::default() }
    }

    /// `None` for a cluster of EKS, unless a context has its name: see the crate's header.
    pub(crate) async fn build(&self, cluster: &Cluster, patience: Patience) -> Result<Option<Ready>> {
        // Without one, only the clouds and the cluster's inside are left.
        let kubeconfig = match &self.kubeconfig {
            Some(path) => Some(kubeconfig::from_file(path)?),
            None => kubeconfig::from_environment()?,
        };
        let name = cluster.to_string();
        let has =
            |context: &str| kubeconfig.as_ref().is_some_and(|it| it.contexts.iter().any(|known| known.name == context));
        let (config, expires) = match cluster {
            Cluster::Eks { .. } | Cluster::Gke { .. } if has(&name) => (context(kubeconfig, Some(name)).await?, None),
            Cluster::Eks { .. } => return Ok(None),
            Cluster::Gke { project, location, name } => {
                let access = self.gke()?.access(project, location, name, Timestamp::now()).await?;
                let expires = access.expires;
                (from_gke(access)?, Some(expires))
            }
            Cluster::Context(context_name) => (context(kubeconfig, Some(context_name.to_string())).await?, None),
            Cluster::Current if kubeconfig.as_ref().is_some_and(|it| it.current_context.is_some()) => {
                (context(kubeconfig, None).await?, None)
            }
            Cluster::Current => (inside()?, None),
        };
        let own = own(&config).map(Arc::new);
        let client = client(config, patience).map_err(|error| error.on(cluster.to_string()))?;
        Ok(Some(Ready { client, own, expires }))
    }

    fn gke(&self) -> Result<&Gke> {
        if let Some(gke) = self.gke.get() {
            return Ok(gke);
        }
        let gke = Gke::from_env()?;
        Ok(self.gke.get_or_init(|| gke))
    }
}

async fn context(kubeconfig: Option<Kubeconfig>, context: Option<String>) -> Result<Config> {
    let kubeconfig = kubeconfig.ok_or_else(|| {
        Error::new(Kind::NotFound, "connect", "there is no kubeconfig").on(context.clone().unwrap_or_default())
    })?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| kubeconfig_error(&error))
}

fn kubeconfig_error(error: &KubeconfigError) -> Error {
    match error {
        KubeconfigError::LoadContext(name) => {
            Error::new(Kind::NotFound, "connect", "the kubeconfig has no such context").on(name.clone())
        }
        KubeconfigError::LoadClusterOfContext(name) => {
            Error::new(Kind::NotFound, "connect", "the kubeconfig has no such cluster").on(name.clone())
        }
        _ => Error::invalid("KUBECONFIG", "names a cluster or user that cannot be used"),
    }
}

fn inside() -> Result<Config> {
    Config::incluster().map_err(|_| {
        let message = "there is neither a kubeconfig with a current context nor a service account of a pod";
        Error::new(Kind::Denied, "connect", message).on("the current cluster")
    })
}

fn from_gke(access: ClusterAccess) -> Result<Config> {
    let broken = |message: &str| Error::new(Kind::Internal, "connect", message).on(access.server.clone());
    let server = dial::server(&access.server).map_err(broken)?;
    let roots = CertificateDer::pem_slice_iter(access.ca_pem.as_deref().unwrap_or_default())
        .map(|certificate| certificate.map(|it| it.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| broken("the certificate is not PEM"))?;
    let mut config = Config::new(server);
    // An endpoint with a public certificate (GKE's DNS endpoint) brings none.
    config.root_cert = (!roots.is_empty()).then_some(roots);
    config.auth_info = AuthInfo { token: Some(access.token.into()), ..AuthInfo::default() };
    Ok(config)
}

#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "kubernetes.io")]
    own: Own,
}

/// From a service account's token; `None` for any other.
fn own_of(token: &str) -> Option<Own> {
    let claims = URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.own)
}

/// Who we are, where our token says so.
fn own(config: &Config) -> Option<Own> {
    let AuthInfo { token, token_file, .. } = &config.auth_info;
    match (token, token_file) {
        (Some(token), _) => own_of(token.expose_secret()),
        (None, Some(file)) => own_of(&std::fs::read_to_string(file).ok()?),
        (None, None) => None,
    }
}

fn client(mut config: Config, patience: Patience) -> Result<Client> {
    // The retries are the driver's: `kube` would try 15 times, for minutes.
    config.default_retry = false;
    config.connect_timeout = Some(patience.connect);
    config.read_timeout = Some(patience.silence);
    config.write_timeout = Some(patience.silence);
    // Else the time that a connection was idle counts, and the first call after a pause fails.
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|error| {
        let (kind, message) = match error {
            kube::Error::Auth(_) => (Kind::Denied, "no credentials: the kubeconfig's token or plugin failed"),
            _ => (Kind::Invalid, "the certificates or the proxy of the kubeconfig cannot be used"),
        };
        Error::new(kind, "connect", message)
    })
}
