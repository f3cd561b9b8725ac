//! The terminal: a person plans, applies, reverts, asks what a responder does and whether it could act here.
//!
//! What was asked for goes to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,
//! 2 usage or bad event, 3 refused by the guard.

mod args;
mod brake;
mod check;
mod explain;
mod order;
mod progress;
mod render;
mod target;
mod who;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};
use stanch_core::{Error, Responder, Result, TargetKind};

use crate::{
    answer,
    binary::{Parts, runtime},
    config::Place,
    logs,
    out::{Out, plain},
};
use args::{Args, Command};

/// Runs one command and gives its exit code.
pub(crate) fn run<R: Responder>(parts: &Parts<R>, arguments: Vec<OsString>, mut out: Out) -> u8 {
    let mut command =
        target::only_flags_of(R::Target::KINDS, Args::command().name(R::NAME).bin_name(R::NAME).about(R::ABOUT));
    if arguments.len() < 2 {
        out.note(&command.render_help().to_string());
        return 2;
    }
    let matches = command.try_get_matches_from_mut(arguments).and_then(|it| Args::from_arg_matches(&it));
    let args = match matches {
        Ok(args) => args,
        Err(error) if error.use_stderr() => {
            out.note(&error.render().to_string());
            return 2;
        }
        Err(help) => {
            out.answer(&help.render().to_string());
            return 0;
        }
    };
    logs::start(&parts.env, logs::Reader::Person, R::NAME);
    command_of(parts, args.command, command, &mut out).unwrap_or_else(|error| {
        out.note(&format!("{}: {}\n", R::NAME, plain(&error.to_string())));
        answer::exit_code(&error)
    })
}

fn command_of<R: Responder>(parts: &Parts<R>, asked: Command, mut clap: clap::Command, out: &mut Out) -> Result<u8> {
    match asked {
        Command::Plan(order) => order::run(parts, stanch_core::Mode::Plan, &order, out),
        Command::Apply(order) => order::run(parts, stanch_core::Mode::Apply, &order, out),
        Command::Revert(order) => order::run(parts, stanch_core::Mode::Revert, &order, out),
        Command::Explain(how) => explain::run::<R>(&how, out),
        Command::Check(check) => check::run(parts, &check, out),
        Command::Brake(brake) => brake::run(parts, &brake, out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut clap, R::NAME, &mut script);
            out.answer(&String::from_utf8_lossy(&script));
            Ok(0)
        }
    }
}

/// The engine as a person uses it, and a runtime to run it on.
///
/// # Errors
/// [`stanch_core::Kind::Invalid`], naming the variable and the field.
fn engine<R: Responder>(
    parts: &Parts<R>,
) -> Result<(std::sync::Arc<crate::engine::Engine<R>>, tokio::runtime::Runtime)> {
    let (engine, _) = parts.engine(Place::Terminal)?;
    Ok((engine, runtime()?))
}

/// JSON for another program.
fn to_json(value: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Error::new(stanch_core::Kind::Internal, "write", "the answer cannot be written").because(error)
    })?;
    Ok(crate::out::plain_json(&text) + "\n")
}
