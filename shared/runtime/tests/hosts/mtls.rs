//! Clients' certificates.

use std::{path::Path, process::Command};

use reqwest::{Certificate, Client, Identity, StatusCode};
use serde_json::json;

use crate::support::{Outcome, Place, Process, falco, order};

const FALCO: &str = "spiffe://cluster.local/ns/falco/sa/falcosidekick";

fn openssl(folder: &Path, arguments: &str) -> std::io::Result<bool> {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output()?;
    Ok(output.status.success())
}

/// An authority and a certificate that it signed for a name.
fn certificate(folder: &Path, authority: &str, name: &str, san: &str) -> std::io::Result<()> {
    std::fs::write(folder.join(format!("{name}.ext")), format!("subjectAltName={san}\n"))?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for arguments in [
        format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"),
        format!(
            "x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial -days 2 -out \
             {name}.crt -extfile {name}.ext"
        ),
    ] {
        assert!(openssl(folder, &arguments)?, "openssl {arguments}");
    }
    Ok(())
}

fn authority(folder: &Path, name: &str) -> std::io::Result<()> {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    assert!(openssl(folder, &format!("req -x509 {key} -keyout {name}.key -out {name}.crt -days 2 -subj /CN={name}"))?);
    Ok(())
}

fn client(folder: &Path, name: Option<&str>) -> Result<Client, Box<dyn std::error::Error>> {
    let root = Certificate::from_pem(&std::fs::read(folder.join("ca.crt"))?)?;
    let mut builder = Client::builder().tls_certs_only([root]).no_proxy();
    if let Some(name) = name {
        let mut pem = std::fs::read(folder.join(format!("{name}.crt")))?;
        pem.extend(std::fs::read(folder.join(format!("{name}.key")))?);
        builder = builder.identity(Identity::from_pem(&pem)?);
    }
    Ok(builder.build()?)
}

#[tokio::test]
async fn a_certificate_proves_its_names() -> Outcome {
    let place = Place::new()?;
    let folder = place.path("tls");
    std::fs::create_dir(&folder)?;
    if !openssl(&folder, "version").unwrap_or(false) {
        println!("skipped: openssl is not installed");
        return Ok(());
    }
    authority(&folder, "ca")?;
    authority(&folder, "other")?;
    certificate(&folder, "ca", "server", "DNS:localhost")?;
    certificate(&folder, "ca", "falco", &format!("URI:{FALCO}"))?;
    certificate(&folder, "ca", "stranger", "DNS:stranger.example")?;
    certificate(&folder, "other", "forged", &format!("URI:{FALCO}"))?;
    let file = |name: &str| folder.join(name);
    let policy = json!({"mtls": {"certificate": file("server.crt"), "key": file("server.key"),
        "clients": file("ca.crt"), "events": [FALCO]}});
    let variables = [("PORT", "0"), ("STANCH_MODE", "enforce"), ("STANCH_CALLERS", &policy.to_string())];
    let server = Process::start(&place, &variables, "listening")?;
    let url = server.url().replace("http://127.0.0.1", "https://localhost");

    for (name, body, expected) in [
        (None, falco("a"), StatusCode::UNAUTHORIZED),
        (Some("stranger"), falco("a"), StatusCode::FORBIDDEN),
        (Some("falco"), order("apply", "x", "a"), StatusCode::FORBIDDEN),
        (Some("falco"), falco("b"), StatusCode::OK),
    ] {
        let answer = client(&folder, name)?.post(&url).json(&body).send().await?;
        assert_eq!(answer.status(), expected, "{name:?}: {}", answer.text().await?);
    }
    assert!(client(&folder, Some("forged"))?.post(&url).json(&falco("a")).send().await.is_err());
    let health = client(&folder, None)?.get(format!("{url}healthz")).send().await?;
    assert_eq!(health.status(), StatusCode::OK);
    assert_eq!(place.labels().into_keys().collect::<Vec<_>>(), ["b"]);
    Ok(())
}
