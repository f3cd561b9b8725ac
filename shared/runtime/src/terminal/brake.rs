//! `brake on|off|status`.

use stanch_core::{Brake, Error, Kind, Responder, Result};

use super::{
    args::{BrakeArgs, BrakeWhat},
    engine, progress, to_json, who,
};
use crate::{
    binary::Parts,
    out::{Out, plain},
};

/// How often the brake is set before somebody else is given the last word.
const TRIES: usize = 5;

/// Sets or shows it.
pub(super) fn run<R: Responder>(parts: &Parts<R>, args: &BrakeArgs, out: &mut Out) -> Result<u8> {
    let (engine, runtime) = engine(parts)?;
    let by = who::name(&parts.env);
    let work = async {
        let on = match args.what {
            BrakeWhat::On => true,
            BrakeWhat::Off => false,
            BrakeWhat::Status => return engine.brake().await,
        };
        // Whoever pulls the brake must not lose to a race.
        let mut last = Error::new(Kind::Unavailable, "brake", "was not set");
        for _ in 0..TRIES {
            match engine.set_brake(on, &by).await {
                Err(error) if error.kind().is_transient() => last = error,
                other => return other.map(Some),
            }
        }
        Err(last)
    };
    let brake = runtime.block_on(progress::show(out, "asking the ledger for the brake", work))?;
    if args.answer.json {
        out.answer(&to_json(&brake)?);
        return Ok(0);
    }
    out.answer(&match brake {
        Some(Brake { on, by, since }) => {
            let state = if on { "on: every responder of this ledger plans and reports only" } else { "off" };
            format!("The brake is {state} (set by {} at {since}).\n", plain(&by))
        }
        None => "The brake is off (never set).\n".to_owned(),
    });
    Ok(0)
}
