//! `plan`, `apply` and `revert`.

use std::{io::Read, path::Path};

use serde_json::{Map, Value};
use stanch_core::{Alert, Caller, Error, Mode, Order, Report, Responder, Result};

use super::{args::OrderArgs, engine, progress, render, to_json, who};
use crate::{
    answer::Answer,
    binary::Parts,
    clock,
    engine::{Engine, Job},
    out::Out,
};

/// A person waits, and can stop us at any time.
const PATIENCE: std::time::Duration = std::time::Duration::from_hours(1);

/// Runs one order, or one for each subject of an event.
pub(super) fn run<R: Responder>(parts: &Parts<R>, mode: Mode, args: &OrderArgs, out: &mut Out) -> Result<u8> {
    let options = options(&args.set)?;
    let (engine, runtime) = engine(parts)?;
    let json = args.answer.json;
    let (orders, mut answer) = match &args.event {
        Some(path) => from_event(&engine, mode, args, path, out)?,
        None => (vec![from_flags(&engine, mode, args)?], Answer::of(Vec::new())),
    };
    let caller = Caller { id: who::name(&parts.env), proved_at: None };
    for mut order in orders {
        order.options.clone_from(&options);
        order.protected = args.protected;
        let job = Job {
            caller: caller.clone(),
            id: uuid::Uuid::new_v4().to_string(),
            deadline: clock::after(engine.now(), PATIENCE),
        };
        let doing = format!("{} {}", doing(mode), order.target);
        let one = runtime.block_on(progress::show(out, &doing, engine.order(order, &job)));
        answer.panicked |= one.panicked;
        answer.reports.extend(one.reports);
    }
    if json {
        out.answer(&to_json(&answer.to_json())?);
    } else {
        for report in &answer.reports {
            let text = render::report(report, out.colour);
            out.answer(&text);
        }
    }
    Ok(answer.exit_code())
}

fn doing(mode: Mode) -> &'static str {
    match mode {
        Mode::Plan => "planning for",
        Mode::Apply => "applying to",
        Mode::Revert => "reverting",
    }
}

fn from_flags<R: Responder>(engine: &Engine<R>, mode: Mode, args: &OrderArgs) -> Result<Order> {
    let target = args.target.target::<R>(engine.cluster())?;
    let target = target.ok_or_else(|| Error::invalid("target", "must be named, by flags, --target or --event"))?;
    Ok(Order {
        mode,
        incident: incident(engine, mode, args)?,
        target,
        options: Value::Null,
        requested_by: None,
        protected: false,
    })
}

fn incident<R: Responder>(engine: &Engine<R>, mode: Mode, args: &OrderArgs) -> Result<stanch_core::IncidentId> {
    match (&args.incident, mode) {
        (Some(incident), _) => Ok(incident.clone()),
        (None, Mode::Revert) => Err(Error::invalid("--incident", "must be given: what shall be undone?")),
        (None, _) => who::incident(engine.now()),
    }
}

/// The orders that an event gives, and a report for each alert that gives none.
fn from_event<R: Responder>(
    engine: &Engine<R>,
    mode: Mode,
    args: &OrderArgs,
    path: &Path,
    out: &mut Out,
) -> Result<(Vec<Order>, Answer)> {
    let items = engine.alerts(&read(path, engine.body_limit())?).map_err(|error| error.within("event"))?;
    if items.is_empty() {
        return Err(Error::invalid("event", "holds no alert"));
    }
    let (mut orders, mut unusable): (Vec<Order>, Vec<Report>) = (Vec::new(), Vec::new());
    for item in items {
        let alert = &item.map_err(|error| error.within("event"))?;
        if !args.answer.json {
            out.answer(&render::alert(alert, out.colour));
        }
        stands_in_the_way(alert, mode)?;
        let found = Order::from_alert::<R>(alert);
        if found.is_empty() {
            unusable.push(Report { mode, ..engine.unusable(alert) });
        }
        for order in found {
            let incident = args.incident.clone().unwrap_or(order.incident);
            orders.push(Order { mode, incident, ..order });
        }
    }
    Ok((orders, Answer::of(unusable)))
}

/// A person may act on an old or mild alert. A sample or an archived finding asks for no action at all.
fn stands_in_the_way(alert: &Alert, mode: Mode) -> Result<()> {
    match &alert.inactive {
        Some(why) if mode == Mode::Apply => Err(Error::refused(format!(
            "the alert asks for no action: {why}; name the target with flags to act all the same"
        ))),
        _ => Ok(()),
    }
}

/// An event from a file or standard input, bounded as everywhere.
fn read(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let limit = limit as u64 + 1;
    let mut body = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut body)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut body))
    };
    match read {
        Ok(_) => Ok(body),
        Err(error) => Err(Error::invalid("--event", format!("{} cannot be read", path.display())).because(error)),
    }
}

/// `KEY=VALUE` pairs as the options of an order.
fn options(pairs: &[String]) -> Result<Value> {
    let mut options = Map::new();
    for pair in pairs {
        let wrong = |message: &str| Error::invalid("--set", message);
        let (key, text) = pair.split_once('=').ok_or_else(|| wrong("must be KEY=VALUE"))?;
        if key.is_empty() {
            return Err(wrong("must be KEY=VALUE"));
        }
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        if options.insert(key.to_owned(), value).is_some() {
            return Err(wrong("names a key twice"));
        }
    }
    Ok(if options.is_empty() { Value::Null } else { Value::Object(options) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_json_or_text() {
        let set = |pairs: &[&str]| options(&pairs.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let found = set(&["a=true", "b=[\"x\"]", "c=some text", "d=\"5\"", "e=1=2"]).expect("valid");
        assert_eq!(found, json!({"a": true, "b": ["x"], "c": "some text", "d": "5", "e": "1=2"}));
        assert_eq!(set(&[]).expect("valid"), Value::Null);
        for bad in [&["a"][..], &["=1"], &["a=1", "a=2"]] {
            assert!(set(bad).is_err(), "{bad:?}");
        }
    }
}
