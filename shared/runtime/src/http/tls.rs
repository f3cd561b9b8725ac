//! TLS with clients' certificates.

use std::{path::Path, sync::Arc};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use stanch_core::{Error, Result};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, server::WebPkiClientVerifier};

use crate::yaml;

/// The server's side of TLS. A client without a certificate may come in: `/healthz` and bearer tokens are for it.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`], naming the file.
pub(crate) fn config(certificate: &Path, key: &Path, clients: &Path) -> Result<Arc<ServerConfig>> {
    let mut roots = RootCertStore::empty();
    for root in certificates(clients).map_err(|error| error.within("clients"))? {
        roots
            .add(root)
            .map_err(|error| Error::invalid("clients", "holds a certificate that is none").because(error))?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::invalid("clients", "holds no usable certificate").because(error))?;
    let key = PrivateKeyDer::from_pem_slice(yaml::read(key).map_err(|error| error.within("key"))?.as_bytes())
        .map_err(|error| Error::invalid("key", "must be a private key in PEM").because(error))?;
    let chain = certificates(certificate).map_err(|error| error.within("certificate"))?;
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| Error::invalid("certificate", "does not fit the key").because(error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = yaml::read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::invalid("", "holds no certificate in PEM")),
        Err(error) => Err(Error::invalid("", "must be certificates in PEM").because(error)),
    }
}

/// The names that the client's certificate holds, if it has shown one: TLS has verified it by then.
pub(crate) fn names(connection: &ServerConnection) -> Vec<String> {
    let Some(certificate) = connection.peer_certificates().and_then(<[_]>::first) else { return Vec::new() };
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    certificate.valid_uri_names().chain(certificate.valid_dns_names()).map(str::to_owned).collect()
}
