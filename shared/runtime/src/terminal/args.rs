//! The command line.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use stanch_core::IncidentId;

use super::target::TargetFlags;

/// The command line of every responder.
#[derive(Debug, Parser)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the changes that would be made, and make none.
    Plan(OrderArgs),
    /// Make them. A person who types this means it: `STANCH_MODE=observe` does not hold it, the guard does.
    Apply(OrderArgs),
    /// Undo what was made for an incident.
    Revert(OrderArgs),
    /// Say what this responder does, what it needs and what undo brings back.
    Explain(Answer),
    /// Say whether it could act here, now: permissions, access, ledger. Changes nothing.
    Check(CheckArgs),
    /// Stop every responder of this ledger from writing, or let them write again.
    Brake(BrakeArgs),
    /// Print a completion script.
    Completions {
        /// For this shell.
        shell: Shell,
    },
}

#[derive(Debug, Group)]
pub(super) struct OrderArgs {
    /// The incident. Revert needs it; otherwise one is made up, or the event names it.
    #[arg(long, value_name = "ID")]
    pub(super) incident: Option<IncidentId>,
    /// A detector's event: its subjects are the targets. `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    pub(super) event: Option<PathBuf>,
    #[command(flatten)]
    pub(super) target: TargetFlags,
    /// An option of the responder, see `explain`. The value is JSON, or text where it is none.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// The target is in a control-plane namespace, on purpose.
    #[arg(long)]
    pub(super) protected: bool,
    #[command(flatten)]
    pub(super) answer: Answer,
}

#[derive(Debug, Group)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) target: TargetFlags,
    #[command(flatten)]
    pub(super) answer: Answer,
}

#[derive(Debug, Group)]
pub(super) struct BrakeArgs {
    /// What to do with it.
    pub(super) what: BrakeWhat,
    #[command(flatten)]
    pub(super) answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BrakeWhat {
    /// Every responder plans and reports only.
    On,
    /// They act again.
    Off,
    /// Say which it is.
    Status,
}

#[derive(Debug, Group)]
pub(super) struct Answer {
    /// Print the answer alone, as JSON.
    #[arg(long)]
    pub(super) json: bool,
}
