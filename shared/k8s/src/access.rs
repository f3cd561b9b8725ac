//! From a cluster's name to a client for it, kept for the life of the process.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use http::Uri;
use jiff::{SignedDuration, Timestamp};
use kube::{
    Client, Config,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use secrecy::ExposeSecret as _;
use stanch_core::{Error, Kind, Result, target::Cluster};
use stanch_gke::Gke;

use crate::{KubeApi, own::Own};

/// The retries are the driver's: `kube` would try 15 times, for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A client is built anew this long before its EKS token ends: longer than an order takes.
const MARGIN: SignedDuration = SignedDuration::from_mins(3);

/// The clusters of this process.
#[derive(Default)]
pub struct Kube {
    home: Option<Cluster>,
    kubeconfig: Option<PathBuf>,
    read_timeout: Option<Duration>,
    gke: OnceLock<Gke>,
    clients: Mutex<BTreeMap<Cluster, Arc<Slot>>>,
}

/// One client. The lock is held while it is built, so that it is built once.
type Slot = tokio::sync::Mutex<Option<Ready>>;

struct Ready {
    client: Client,
    own: Option<Arc<Own>>,
    expires: Option<Timestamp>,
}

/// What a cloud tells about a cluster.
struct Access {
    server: String,
    /// Empty: a public certificate.
    ca_pem: Vec<u8>,
    token: String,
    /// Until when the client is kept.
    expires: Timestamp,
}

impl std::fmt::Debug for Kube {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kube").field("home", &self.home).field("kubeconfig", &self.kubeconfig).finish_non_exhaustive()
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
    pub fn with_kubeconfig(path: impl Into<PathBuf>, home: Option<Cluster>) -> Self {
        Self { home, kubeconfig: Some(path.into()), ..Self::default() }
    }

    /// For how long a connection may be silent before a call is given up; ten seconds where nothing is said.
    #[must_use]
    pub fn limiting_calls(mut self, silence: Duration) -> Self {
        self.read_timeout = Some(silence);
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
        let kubeconfig = self.read_kubeconfig()?;
        let name = cluster.to_string();
        let has =
            |context: &str| kubeconfig.as_ref().is_some_and(|it| it.contexts.iter().any(|known| known.name == context));
        let (config, expires) = match cluster {
            // See the crate's header: a context under the cluster's own name wins.
            Cluster::Eks { .. } | Cluster::Gke { .. } if has(&name) => (context(kubeconfig, Some(name)).await?, None),
            Cluster::Eks { account, region, name } => {
                let access = stanch_eks::access(account, region, name).await?;
                from_cloud(Access {
                    server: access.server,
                    ca_pem: access.ca_pem,
                    token: access.token,
                    expires: access.expires.checked_sub(MARGIN).unwrap_or(access.expires),
                })?
            }
            Cluster::Gke { project, location, name } => {
                let access = self.gke()?.access(project, location, name, Timestamp::now()).await?;
                from_cloud(Access {
                    server: access.server,
                    ca_pem: access.ca_pem.unwrap_or_default(),
                    token: access.token,
                    expires: access.expires,
                })?
            }
            Cluster::Context(context_name) => (context(kubeconfig, Some(context_name.to_string())).await?, None),
            Cluster::Current if kubeconfig.as_ref().is_some_and(|it| it.current_context.is_some()) => {
                (context(kubeconfig, None).await?, None)
            }
            Cluster::Current => (inside()?, None),
        };
        let own = own(&config).map(Arc::new);
        let client =
            client(config, self.read_timeout.unwrap_or(READ_TIMEOUT)).map_err(|error| error.on(cluster.to_string()))?;
        Ok(Ready { client, own, expires })
    }

    fn gke(&self) -> Result<&Gke> {
        if let Some(gke) = self.gke.get() {
            return Ok(gke);
        }
        let gke = Gke::from_env()?;
        Ok(self.gke.get_or_init(|| gke))
    }

    /// `None` when there is no such file: then only the clouds and the cluster's inside are left.
    fn read_kubeconfig(&self) -> Result<Option<Kubeconfig>> {
        let read = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let named = self.kubeconfig.is_some() || std::env::var_os("KUBECONFIG").is_some_and(|it| !it.is_empty());
        match read {
            Ok(kubeconfig) => Ok(Some(kubeconfig)),
            Err(KubeconfigError::FindPath) => Ok(None),
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == std::io::ErrorKind::NotFound && !named => {
                Ok(None)
            }
            Err(error) => Err(kubeconfig_error(&error)),
        }
    }
}

async fn context(kubeconfig: Option<Kubeconfig>, context: Option<String>) -> Result<Config> {
    let kubeconfig = kubeconfig.ok_or_else(|| {
        Error::new(Kind::NotFound, "connect", "there is no kubeconfig").on(context.clone().unwrap_or_default())
    })?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| kubeconfig_error(&error))
}

/// Without the cause: the text of a parse error may show the lines around it, and a kubeconfig holds tokens.
fn kubeconfig_error(error: &KubeconfigError) -> Error {
    match error {
        KubeconfigError::LoadContext(name) => {
            Error::new(Kind::NotFound, "connect", "the kubeconfig has no such context").on(name.clone())
        }
        KubeconfigError::LoadClusterOfContext(name) => {
            Error::new(Kind::NotFound, "connect", "the kubeconfig has no such cluster").on(name.clone())
        }
        KubeconfigError::ReadConfig(error, path) => {
            Error::invalid("KUBECONFIG", format!("{} cannot be read: {}", path.display(), error.kind()))
        }
        KubeconfigError::Parse(_) => Error::invalid("KUBECONFIG", "is not a kubeconfig"),
        _ => Error::invalid("KUBECONFIG", "names a cluster or user that cannot be used"),
    }
}

fn inside() -> Result<Config> {
    Config::incluster().map_err(|_| {
        let message = "there is neither a kubeconfig with a current context nor a service account of a pod";
        Error::new(Kind::Denied, "connect", message).on("the current cluster")
    })
}

fn from_cloud(access: Access) -> Result<(Config, Option<Timestamp>)> {
    let broken = |message: &str| Error::new(Kind::Internal, "connect", message).on(access.server.clone());
    let server: Uri = access.server.parse().map_err(|_| broken("the endpoint is no URL"))?;
    // The token goes to whoever answers there.
    let loopback = matches!(server.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if server.scheme_str() != Some("https") && !loopback {
        return Err(broken("the endpoint is not https"));
    }
    let roots = CertificateDer::pem_slice_iter(&access.ca_pem)
        .map(|certificate| certificate.map(|it| it.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| broken("the certificate is not PEM"))?;
    let mut config = Config::new(server);
    // An endpoint with a public certificate (GKE's DNS endpoint) brings none.
    config.root_cert = (!roots.is_empty()).then_some(roots);
    config.auth_info = AuthInfo { token: Some(access.token.into()), ..AuthInfo::default() };
    Ok((config, Some(access.expires)))
}

/// Who we are, where our token says so.
fn own(config: &Config) -> Option<Own> {
    let AuthInfo { token, token_file, .. } = &config.auth_info;
    match (token, token_file) {
        (Some(token), _) => Own::of(token.expose_secret()),
        (None, Some(file)) => Own::of(&std::fs::read_to_string(file).ok()?),
        (None, None) => None,
    }
}

fn client(mut config: Config, read_timeout: Duration) -> Result<Client> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(read_timeout);
    config.write_timeout = Some(read_timeout);
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
