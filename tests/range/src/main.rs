//! `range`: the practice range as a program. `range up` keeps it running, `range invoke` runs one Lambda event.

mod invoke;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The practice range: simulators of GCE, Kubernetes and the Lambda Runtime API, and moto.
#[derive(Debug, Parser)]
#[command(name = "range", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the simulators, seeds them, prints the environment to use them with, and runs until it is ended.
    Up(up::Up),
    /// Runs one event through a binary as Lambda would, and prints the answer and the times.
    Invoke(invoke::Invoke),
    /// Makes the Python environment that moto runs in, if need be, and prints its interpreter.
    Venv {
        /// One for a comparison instead.
        #[arg(value_enum)]
        what: Option<Venv>,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Venv {
    /// awslambdaric and boto3: a Python function.
    Bench,
    /// Cloud Custodian.
    Custodian,
}

fn venv(what: Option<Venv>) -> std::io::Result<ExitCode> {
    let python = match what {
        None => stanch_range::moto::ensure_venv()?,
        Some(Venv::Bench) => stanch_range::moto::ensure_bench_venv()?,
        Some(Venv::Custodian) => stanch_range::moto::ensure_custodian_venv()?,
    };
    std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", python.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(up) => up.run().await,
        Command::Invoke(invoke) => invoke.run().await,
        Command::Venv { what } => venv(what),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("range: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
