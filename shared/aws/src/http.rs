//! One HTTP client a process, for every service and for the ledger beside them.
//!
//! What TLS needs (the native roots: two to four milliseconds) is read when something is first asked through it, or
//! by [`ready`] while nothing is to be done. An `http://` endpoint (a simulator, a local proxy) never needs it.

use std::sync::LazyLock;

use aws_smithy_http_client::{
    Builder, ConnectorBuilder,
    proxy::ProxyConfig,
    tls::{self, TlsContext, TrustStore},
};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};

/// For `http://`. The same connector as for TLS, without roots: one of another type would be all of hyper once more.
static PLAIN: LazyLock<SharedHttpClient> = LazyLock::new(|| trusting(TrustStore::empty));

static TLS: LazyLock<SharedHttpClient> = LazyLock::new(|| trusting(TrustStore::default));

fn trusting(roots: fn() -> TrustStore) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector =
            ConnectorBuilder::default().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc));
        if let Ok(context) = TlsContext::builder().with_trust_store(roots()).build() {
            connector.set_tls_context(context);
        }
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

/// The client of this process.
pub(crate) fn client() -> SharedHttpClient {
    SharedHttpClient::new(ByScheme)
}

/// The client that reads the native roots as soon as an SDK client is made with it.
pub(crate) fn ready() -> SharedHttpClient {
    TLS.clone()
}

/// Which of the two is meant shows in the request.
#[derive(Debug)]
struct ByScheme;

impl HttpClient for ByScheme {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Chosen { settings: settings.clone(), components: components.clone() })
    }
}

#[derive(Debug)]
struct Chosen {
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for Chosen {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = if request.uri().starts_with("http://") { &PLAIN } else { &TLS };
        // The client keeps one connector, with its connections, for these settings.
        client.http_connector(&self.settings, &self.components).call(request)
    }
}
