//! `range up`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use stanch_range::gce::Gce;
use stanch_range::kube::{self, Kube};
use stanch_range::moto::Moto;
use stanch_range::scenario;
use tokio::signal::unix::{SignalKind, signal};

/// What can be started, and the scenario seeded there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wing {
    /// moto: EC2, `DynamoDB`, IAM. Scenario: an instance with three volumes, and the ledger's table.
    Aws,
    /// Compute Engine. Scenario: a VM with boot, data and regional disk and a local SSD.
    Gcp,
    /// Kubernetes. Scenario: three nodes with pods.
    K8s,
}

const ALL: [Wing; 3] = [Wing::Aws, Wing::Gcp, Wing::K8s];

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// What to start; all if not given.
    #[arg(long, value_enum)]
    only: Vec<Wing>,
    /// Scenarios to plant.
    #[arg(long, value_enum)]
    seed: Vec<Wing>,
    /// Also writes the environment to this file, to be sourced.
    #[arg(long, value_name = "PATH")]
    env_file: Option<PathBuf>,
    /// Where to write the kubeconfig; by default beside the other temporary files.
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// Ends with stdin, so that nothing is left behind.
    #[arg(long)]
    die_with_stdin: bool,
}

impl Up {
    pub(crate) async fn run(self) -> io::Result<ExitCode> {
        let wanted = |wing| self.only.is_empty() && ALL.contains(&wing) || self.only.contains(&wing);
        let seeded = |wing| self.seed.contains(&wing);
        let (mut env, mut out) = (Vec::<(&str, String)>::new(), io::stdout());

        let gce = if wanted(Wing::Gcp) { Some(Gce::start()?) } else { None };
        if let Some(gce) = &gce {
            writeln!(out, "gce    {}", gce.endpoint())?;
            env.push(("STANCH_GCE_ENDPOINT", gce.endpoint()));
            env.push(("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", gce.gcloud_endpoint()));
            env.push(("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true".into()));
            env.push(("CLOUDSDK_CORE_PROJECT", scenario::PROJECT.into()));
            if seeded(Wing::Gcp) {
                let id = scenario::gcp(gce);
                writeln!(out, "       instance {}/{}/{} (id {id})", scenario::PROJECT, scenario::ZONE, scenario::VM)?;
                env.push(("RANGE_GCE_INSTANCE_ID", id.to_string()));
            }
        }
        let kubernetes = if wanted(Wing::K8s) { Some(Kube::start()?) } else { None };
        let mut made = None;
        if let Some(server) = &kubernetes {
            let path = self.kubeconfig.clone().unwrap_or_else(|| {
                let path = std::env::temp_dir().join(format!("stanch-range-{}.kubeconfig", std::process::id()));
                made = Some(path.clone());
                path
            });
            server.kubeconfig(&path, kube::ADMIN)?;
            writeln!(out, "kube   {}", server.url())?;
            env.push(("KUBECONFIG", path.display().to_string()));
            if seeded(Wing::K8s) {
                scenario::k8s(server);
                writeln!(out, "       nodes node-a, {}, node-c", scenario::NODE)?;
            }
        }
        let moto = if wanted(Wing::Aws) { Some(Moto::start()?) } else { None };
        if let Some(moto) = &moto {
            writeln!(out, "moto   {}", moto.url())?;
            env.extend(moto.env());
            if seeded(Wing::Aws) {
                let instance = scenario::aws(moto)?;
                writeln!(
                    out,
                    "       instance {} with {}; table {}",
                    instance.id,
                    instance.volumes.join(", "),
                    scenario::TABLE
                )?;
                env.push(("RANGE_EC2_INSTANCE", instance.id));
                env.push(("RANGE_AWS_ACCOUNT", instance.account));
            }
        }

        let lines: Vec<String> = env
            .iter()
            .map(|(name, value)| {
                format!(
                    "export {name}={}
",
                    quoted(value)
                )
            })
            .collect();
        let lines = lines.concat();
        write!(out, "{lines}")?;
        if let Some(path) = &self.env_file {
            // Whole or not at all: somebody may be waiting for this file.
            let partial = path.with_extension("partial");
            std::fs::write(&partial, &lines)?;
            std::fs::rename(&partial, path)?;
        }
        writeln!(out, "ready")?;
        out.flush()?;
        ended(self.die_with_stdin).await?;
        if let Some(path) = made {
            let _ = std::fs::remove_file(path);
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn ended(with_stdin: bool) -> io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (closed, stdin) = tokio::sync::oneshot::channel();
    if with_stdin {
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            let _ = closed.send(());
        });
    }
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        _ = stdin, if with_stdin => {}
    }
    Ok(())
}

/// For a shell.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@,=".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}
