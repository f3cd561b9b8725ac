//! A client for a cluster that its cloud has told of: where it is, whom to trust there, and a token.
//!
//! `kube` makes one of a [`kube::Config`] too, and brings what a kubeconfig may ask for: plugins, JSON paths, a YAML reader.
//! None of it is needed for a cluster of EKS, and together it is a fifth of a package for Lambda.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, Uri, header::AUTHORIZATION};
use kube::{
    Client,
    client::{Body, middleware::BaseUriLayer},
};
use reqwest::{Certificate, redirect::Policy};
use tower::{BoxError, Layer, service_fn};

/// How long a client waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a connection.
    pub(crate) connect: Duration,
    /// While a connection is silent.
    pub(crate) silence: Duration,
}

/// Where it is. A token goes to whoever answers there.
pub(crate) fn server(url: &str) -> Result<Uri, &'static str> {
    let server: Uri = url.parse().map_err(|_| "the endpoint is no URL")?;
    let loopback = matches!(server.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if server.scheme_str() == Some("https") || loopback { Ok(server) } else { Err("the endpoint is not https") }
}

/// The client. Answers why not, in words that hold nothing of the token or the certificates.
pub(crate) fn client(url: &str, ca_pem: &[u8], token: &str, patience: Patience) -> Result<Client, &'static str> {
    let server = server(url)?;
    let trusted = Certificate::from_pem_bundle(ca_pem).map_err(|_| "the certificate is not PEM")?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| "the token is no header")?;
    bearer.set_sensitive(true);
    let http = reqwest::Client::builder()
        .tls_certs_only(trusted)
        .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(patience.connect)
        .read_timeout(patience.silence)
        .build()
        .map_err(|_| "the certificate cannot be used")?;
    let send = service_fn(move |request: Request<Body>| {
        let http = http.clone();
        async move {
            let (head, body) = request.into_parts();
            let request = Request::from_parts(head, body.collect_bytes().await?);
            let answer = http.execute(request.try_into()?).await?;
            Ok::<_, BoxError>(Response::<reqwest::Body>::from(answer))
        }
    });
    Ok(Client::new(BaseUriLayer::new(server).layer(send), "default"))
}
