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

/// Without a target: whether it could act as it is deployed. A schedule asks for this, too.
async fn around<R: Responder>(engine: &Engine<R>) -> Vec<Check> {
    let groups = engine.check_deployed().await.into_iter();
    groups
        .flat_map(|(scope, checks)| {
            checks.into_iter().map(move |check| {
                if check.what == scope { check } else { Check { what: format!("{scope} {}", check.what), ..check } }
            })
        })
        .collect()
}
