//! A cluster, as far as reaching it goes (GKE API: "REST Resource: projects.locations.clusters").

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use stanch_core::Kind;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Cluster {
    endpoint: String,
    master_auth: MasterAuth,
    private_cluster_config: Private,
    control_plane_endpoints_config: Endpoints,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MasterAuth {
    cluster_ca_certificate: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Private {
    enable_private_endpoint: bool,
    private_endpoint: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Endpoints {
    dns_endpoint_config: Dns,
    ip_endpoints_config: Ip,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Dns {
    endpoint: String,
    allow_external_traffic: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ip {
    enable_public_endpoint: Option<bool>,
    private_endpoint: String,
}

/// The server's URL and, where it is not publicly trusted, its authority as PEM.
pub(crate) type Reach = (String, Option<Vec<u8>>);

impl Cluster {
    /// The DNS endpoint where it takes traffic (reachable from anywhere, guarded by IAM), else the address: the
    /// private one only where there is no public one, since only it is reachable from outside.
    pub(crate) fn reach(&self) -> Result<Reach, (Kind, &'static str)> {
        let Endpoints { dns_endpoint_config: dns, ip_endpoints_config: ip } = &self.control_plane_endpoints_config;
        if dns.allow_external_traffic && !dns.endpoint.is_empty() {
            let host = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'.';
            // The token goes there, to a certificate of any public authority: the name must be Google's.
            return match dns.endpoint.strip_suffix(".gke.goog") {
                Some(cluster) if cluster.bytes().all(host) => Ok((format!("https://{}", dns.endpoint), None)),
                _ => Err((Kind::Internal, "the DNS endpoint is not under gke.goog")),
            };
        }
        let only_private =
            self.private_cluster_config.enable_private_endpoint || ip.enable_public_endpoint == Some(false);
        let private =
            [&self.private_cluster_config.private_endpoint, &ip.private_endpoint].into_iter().find(|it| !it.is_empty());
        let address = match private {
            Some(private) if only_private || self.endpoint.is_empty() => private,
            _ => &self.endpoint,
        };
        let server = match address.parse() {
            Ok(IpAddr::V4(address)) => format!("https://{address}"),
            Ok(IpAddr::V6(address)) => format!("https://[{address}]"),
            Err(_) if address.is_empty() => return Err((Kind::Unavailable, "the cluster has no endpoint (yet)")),
            Err(_) => return Err((Kind::Internal, "the endpoint is not an address")),
        };
        match STANDARD.decode(&self.master_auth.cluster_ca_certificate) {
            Ok(pem) if pem.starts_with(b"-----BEGIN CERTIFICATE-----") => Ok((server, Some(pem))),
            _ => Err((Kind::Internal, "the cluster's certificate is not PEM in base64")),
        }
    }
}
