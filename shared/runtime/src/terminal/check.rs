//! `check`: could it act here, now?

use stanch_core::{Check, Responder, Result};

use super::{args::CheckArgs, engine, progress, render, to_json};
use crate::{binary::Parts, engine::Engine, out::Out};

/// Tries what acting would need, without acting.
pub(super) fn run<R: Responder>(parts: &Parts<R>, args: &CheckArgs, out: &mut Out) -> Result<u8> {
    let (engine, runtime) = engine(parts)?;
    let target = args.target.target::<R>(engine.cluster())?;
    let work = async {
        match &target {
            Some(target) => engine.check(target).await,
            None => around(&engine).await,
        }
    };
    let checks = runtime.block_on(progress::show(out, "checking", work));
    let text = if args.answer.json { to_json(&checks)? } else { render::checks(&checks, target.is_some(), out.colour) };
    out.answer(&text);
    Ok(u8::from(checks.iter().any(|check| !check.ok)))
}

/// What can be tried without a target.
async fn around<R: Responder>(engine: &Engine<R>) -> Vec<Check> {
    let (home, brake) = futures::join!(engine.home(), engine.brake());
    let check = |what: &str, ok, detail| Check { what: what.to_owned(), ok, detail };
    vec![
        match home {
            Ok(scope) => check("credentials", true, format!("our own scope is {scope}")),
            Err(error) => check("credentials", false, error.to_string()),
        },
        match brake {
            Ok(Some(brake)) if brake.on => {
                check("ledger", false, format!("the brake is on since {} by {}", brake.since, brake.by))
            }
            Ok(_) => check("ledger", true, "it answers, and the brake is off".to_owned()),
            Err(error) => check("ledger", false, error.to_string()),
        },
    ]
}
