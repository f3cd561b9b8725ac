//! `range invoke`.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use stanch_range::lambda::Lambda;

/// How long a function may take to ask for its first event: as in Lambda.
const INIT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Invoke {
    /// The function's binary.
    #[arg(long)]
    binary: PathBuf,
    /// An argument for it; may be repeated.
    #[arg(long, allow_hyphen_values = true)]
    arg: Vec<String>,
    /// The event: a file, or `-` for stdin.
    #[arg(long)]
    event: PathBuf,
    /// A variable for it, NAME=VALUE; may be repeated. It sees no others of ours.
    #[arg(long, value_parser = pair)]
    env: Vec<(String, String)>,
    /// Passes on a variable of ours; may be repeated.
    #[arg(long)]
    inherit: Vec<String>,
    /// Seconds until its deadline.
    #[arg(long, default_value_t = 15.0)]
    timeout: f64,
    /// Runs the event this many times in the same process.
    #[arg(long, default_value_t = 1)]
    times: usize,
    /// Shows what it logged, on stderr.
    #[arg(long)]
    logs: bool,
}

impl Invoke {
    pub(crate) async fn run(self) -> io::Result<ExitCode> {
        let mut event = Vec::new();
        if self.event.as_os_str() == "-" {
            io::stdin().read_to_end(&mut event)?;
        } else {
            event = std::fs::read(&self.event)?;
        }
        let timeout = Duration::try_from_secs_f64(self.timeout).map_err(io::Error::other)?;
        let mut lambda = self.arg.iter().fold(Lambda::new(&self.binary), Lambda::arg);
        lambda = self.inherit.iter().fold(lambda, |lambda, name| lambda.inherit(name));
        lambda = self.env.iter().fold(lambda, |lambda, (name, value)| lambda.env(name, value));
        let sandbox = lambda.start()?;
        let ready = sandbox.ready(INIT).await.map(|ready| ready.as_secs_f64() * 1000.0);
        let mut failed = false;
        for _ in 0..self.times {
            let done = sandbox.invoke_bytes(event.clone(), timeout).await;
            failed |= done.result.is_err();
            let mut line = json!({"request_id": done.request_id, "ready_ms": ready, "ms": done.ms, "peak_rss_kib": sandbox.peak_rss_kib()});
            if let Some(fields) = line.as_object_mut() {
                match done.result {
                    Ok(answer) => fields.insert("answer".into(), answer),
                    Err(error) => fields.insert("error".into(), json!(error)),
                };
            }
            writeln!(io::stdout(), "{line}")?;
        }
        if self.logs {
            for line in sandbox.logs() {
                writeln!(io::stderr(), "{line}")?;
            }
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
