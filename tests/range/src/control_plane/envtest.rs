//! kube-apiserver and etcd from `KUBEBUILDER_ASSETS`, as the envtest convention has them. No controllers.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Guarded, Unavailable};

/// How long the server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) fn start(assets: &Path, scratch: &Path) -> Result<(PathBuf, Vec<Guarded>), Unavailable> {
    for name in ["etcd", "kube-apiserver"] {
        if !assets.join(name).is_file() {
            return Err(Unavailable(format!("KUBEBUILDER_ASSETS has no {name}: {}", assets.display())));
        }
    }
    let token = uuid::Uuid::new_v4().to_string();
    let (key, tokens, certs) = (scratch.join("sa.key"), scratch.join("tokens.csv"), scratch.join("certs"));
    std::fs::write(&key, service_account_key()?)?;
    std::fs::write(&tokens, format!("{token},range-admin,range-admin,\"system:masters\"\n"))?;

    let (client, peer, secure) = (free_port()?, free_port()?, free_port()?);
    let etcd = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let log = |name: &str| std::fs::File::create(scratch.join(format!("{name}.log")));
    let etcd_process = Command::new(assets.join("etcd"))
        .arg("--data-dir")
        .arg(scratch.join("etcd"))
        .args(["--listen-client-urls", &etcd, "--advertise-client-urls", &etcd])
        .args(["--listen-peer-urls", &peer, "--unsafe-no-fsync"])
        .args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log("etcd")?)
        .spawn()?;
    let mut processes = vec![Guarded { child: etcd_process, stdin: None }];
    let api = Command::new(assets.join("kube-apiserver"))
        .args(["--etcd-servers", &etcd, "--bind-address", "127.0.0.1", "--secure-port", &secure.to_string()])
        .arg("--cert-dir")
        .arg(&certs)
        .args(["--service-cluster-ip-range", "10.0.0.0/24", "--authorization-mode", "RBAC"])
        .args(["--service-account-issuer", "https://kubernetes.default.svc"])
        .arg("--service-account-signing-key-file")
        .arg(&key)
        .arg("--service-account-key-file")
        .arg(&key)
        .arg("--token-auth-file")
        .arg(&tokens)
        .arg("--disable-admission-plugins=ServiceAccount")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log("kube-apiserver")?)
        .spawn()?;
    processes.push(Guarded { child: api, stdin: None });

    let until = Instant::now() + PATIENCE;
    let certificate = certs.join("apiserver.crt");
    let kubeconfig = scratch.join("admin.kubeconfig");
    loop {
        if let Ok(ca) = std::fs::read(&certificate) {
            let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "range",
                "clusters": [{"name": "range", "cluster": {"server": format!("https://127.0.0.1:{secure}"),
                    "certificate-authority-data": STANDARD.encode(ca)}}],
                "users": [{"name": "range", "user": {"token": token}}],
                "contexts": [{"name": "range", "context": {"cluster": "range", "user": "range"}}]});
            std::fs::write(&kubeconfig, format!("{config:#}\n"))?;
            let ready = super::Cluster::read(&kubeconfig)?.request(None, "GET", "/readyz", "", None);
            if ready.is_ok_and(|(status, _)| status == 200) {
                return Ok((kubeconfig, processes));
            }
        }
        for (process, name) in processes.iter_mut().zip(["etcd", "kube-apiserver"]) {
            if let Some(status) = process.child.try_wait()? {
                let said = std::fs::read_to_string(scratch.join(format!("{name}.log"))).unwrap_or_default();
                let last = said.lines().last().unwrap_or_default();
                return Err(Unavailable(format!("{name} from KUBEBUILDER_ASSETS ended ({status}): {last}")));
            }
        }
        if Instant::now() > until {
            return Err(Unavailable("kube-apiserver from KUBEBUILDER_ASSETS did not become ready".into()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// These programs cannot bind port 0 and say which: taken, let go, used at once.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn service_account_key() -> io::Result<String> {
    let bad = |_| io::Error::other("no RSA key");
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(bad)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(bad)?;
    Ok(crate::oidc::pem("PRIVATE KEY", der.as_ref()))
}
