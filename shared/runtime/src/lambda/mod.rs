//! Lambda: `EventBridge` events, SQS batches, and orders by direct invoke.

mod check;
mod events;
mod start;

use std::{process::ExitCode, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_runtime::{
    Diagnostic, LambdaEvent, LambdaInvocation, Runtime,
    tower::{service_fn, util::MapRequestLayer},
};
use serde_json::Value;
use stanch_core::{Error, Kind, Responder, Result};
use tracing::Instrument;

use crate::{
    binary::{Parts, give_way, runtime},
    config::Place,
    engine::Engine,
    trace,
};

/// Serves invocations until Lambda ends the process.
pub(crate) fn run<R: Responder>(parts: &Parts<R>) -> ExitCode {
    parts.log_for_platform();
    let api = match start::api(&parts.env) {
        Ok(api) => api,
        Err(error) => {
            tracing::error!(%error, "the environment is not Lambda's");
            return ExitCode::from(2);
        }
    };
    match serve(parts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the start failed");
            if let Err(unheard) = start::report(&api, &error) {
                tracing::error!(error = %unheard, "and Lambda could not be told");
            }
            ExitCode::FAILURE
        }
    }
}

fn serve<R: Responder>(parts: &Parts<R>) -> Result<()> {
    let (engine, _) = parts.engine(Place::Function)?;
    runtime()?.block_on(async {
        let warming = Arc::clone(&engine);
        // While Lambda has nothing for us, what every order needs is built. An event that comes at once builds it.
        tokio::spawn(async move {
            // What is built before the Runtime API is asked would delay it.
            give_way().await;
            warming.warm().await;
        });
        let handler = service_fn(|event| invoked(Arc::clone(&engine), event));
        Runtime::new(handler)
            .layer(MapRequestLayer::new(whole))
            .run()
            .await
            .map_err(|error| Error::new(Kind::Unavailable, "lambda", "the Runtime API does not answer").because(error))
    })
}

/// Wraps the body, so that every byte of it comes through: `lambda_runtime` reads one JSON value and would drop what
/// stands behind it, and the strict reader is to see it.
fn whole(mut invocation: LambdaInvocation) -> LambdaInvocation {
    invocation.body = format!("\"{}\"", STANDARD.encode(&invocation.body)).into();
    invocation
}

async fn invoked<R: Responder>(engine: Arc<Engine<R>>, event: LambdaEvent<String>) -> Result<Value, Diagnostic> {
    let (payload, context) = event.into_parts();
    // What does not decode was not wrapped by us; it is as unreadable as an empty body.
    let payload = STANDARD.decode(payload).unwrap_or_default();
    let trace = context.xray_trace_id.as_deref().and_then(trace::of_xray);
    let span = tracing::info_span!("invocation", request = context.request_id, trace);
    events::handle(&*engine, &payload, &context).instrument(span).await
}
