//! One request: prove the caller, read the body, hand it on, answer.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::get,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, Method, StatusCode, header};
use stanch_core::{Mode, Report, Responder};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    App, body,
    body::Content,
    serve::Peer,
    status::{self, empty, problem},
};
use crate::{
    answer::Answer,
    callers::{Proved, Refusal},
    clock,
    engine::Job,
    trace,
};

/// For a whole body.
const BODY: Duration = Duration::from_secs(20);
/// The largest message that Pub/Sub delivers is 10 MB ("Pub/Sub quotas and limits"), a third more in base64.
const DISCARD: usize = 16 * 1024 * 1024;

/// The whole server.
pub(super) fn router<R: Responder>(app: Arc<App<R>>) -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" })).fallback(answer::<R>).with_state(app)
}

async fn answer<R: Responder>(State(app): State<Arc<App<R>>>, request: Request) -> Response {
    let id = Uuid::new_v4().to_string();
    let span = tracing::info_span!("request", request = id, trace = trace::of_headers(request.headers()));
    proved(app, request, id).instrument(span).await
}

async fn proved<R: Responder>(app: Arc<App<R>>, request: Request, id: String) -> Response {
    let (head, body) = request.into_parts();
    let peer = head.extensions.get::<Peer>().cloned().unwrap_or_default();
    let caller = match app.callers.prove(&head.headers, &peer).await {
        Ok(caller) => caller,
        Err(refusal) => return refused(&refusal),
    };
    if head.uri.path() != "/" {
        return problem(StatusCode::NOT_FOUND, "there is / and /healthz");
    }
    if head.method != Method::POST {
        return problem(StatusCode::METHOD_NOT_ALLOWED, "must be POST");
    }
    // Each may hold a body: as many as there is memory for.
    let Some(place) = app.limits.delivery() else {
        return problem(StatusCode::TOO_MANY_REQUESTS, "too many deliveries at once");
    };
    let limit = app.engine.body_limit();
    let body = match collect(&head.headers, body, limit).await {
        Ok(body) => body,
        Err(NoBody::TooLarge) => return too_large(&head.headers, limit),
        Err(NoBody::Wrong(code, message)) => return problem(code, message),
    };
    let deadline = clock::after(app.engine.now(), app.timeout);
    let job = Job { caller: caller.caller.clone(), id, deadline };
    // A task of its own: a client that hangs up drops this future, and a change must not stop half-way.
    let handling = deliver(app, head.headers, body, caller, job, place).in_current_span();
    tokio::spawn(handling).await.unwrap_or_else(|_| problem(StatusCode::INTERNAL_SERVER_ERROR, "a defect of Stanch"))
}

async fn deliver<R: Responder>(
    app: Arc<App<R>>,
    headers: HeaderMap,
    body: Bytes,
    caller: Proved,
    job: Job,
    place: OwnedSemaphorePermit,
) -> Response {
    let _place = place;
    let content = body::read(&headers, &body);
    let wants_order = matches!(content, Ok(Content::Order(_)));
    if !(if wants_order { caller.orders } else { caller.events }) {
        let what = if wants_order { "orders" } else { "events" };
        return refused(&Refusal::Forbidden(format!("{} may not send {what}", caller.caller.id)));
    }
    match content {
        Ok(Content::Order(order)) => {
            let answer = app.engine.order(*order, &job).await;
            status::json_response(status::of_order(&answer), &answer.to_json())
        }
        Ok(Content::Event { persistent }) => {
            let answer = app.engine.event(&body, &job).await;
            event(&app, &body, &answer, persistent).await
        }
        Err((error, persistent)) => {
            tracing::error!(%error, "the request cannot be used");
            let now = app.engine.now();
            let answer = Answer::of(vec![Report::of_error(R::NAME, Mode::Plan, &error, now, now)]);
            event(&app, &body, &answer, persistent).await
        }
    }
}

async fn event<R: Responder>(app: &App<R>, body: &[u8], answer: &Answer, persistent: bool) -> Response {
    let code = status::of_event(answer);
    if persistent && !answer.wants_retry() && code != StatusCode::OK {
        // Anything but 2xx would come again for days.
        return match app.dead_letter.keep(body, answer).await {
            Ok(()) => empty(StatusCode::NO_CONTENT),
            Err(error) => {
                tracing::error!(%error, "the dead-letter topic does not take it: the sender keeps it");
                problem(StatusCode::SERVICE_UNAVAILABLE, "try again")
            }
        };
    }
    status::json_response(code, &answer.to_json())
}

/// Why there is no body to hand on.
enum NoBody {
    TooLarge,
    /// What else is wrong with the request.
    Wrong(StatusCode, &'static str),
}

async fn collect(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, NoBody> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(NoBody::Wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, "must not be compressed"));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > DISCARD) {
        return Err(NoBody::TooLarge);
    }
    match timeout(BODY, whole(body, limit)).await {
        Ok(body) => body,
        Err(_) => Err(NoBody::Wrong(StatusCode::REQUEST_TIMEOUT, "the body did not come")),
    }
}

/// The whole body. What is too large is read to its end all the same, within bounds: a client that still sends does
/// not hear the answer.
async fn whole(body: Body, limit: usize) -> Result<Bytes, NoBody> {
    let mut parts = body.into_data_stream();
    let (mut whole, mut length) = (BytesMut::new(), 0);
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| NoBody::Wrong(StatusCode::BAD_REQUEST, "the body broke off"))?;
        length += part.len();
        if length <= limit {
            whole.extend_from_slice(&part);
        } else if length > DISCARD {
            break;
        }
    }
    if length > limit { Err(NoBody::TooLarge) } else { Ok(whole.freeze()) }
}

/// What is too large is so for good.
fn too_large(headers: &HeaderMap, limit: usize) -> Response {
    tracing::error!(limit, "the body is larger than limit.body; nothing keeps a copy");
    if body::is_persistent(headers) {
        return empty(StatusCode::NO_CONTENT);
    }
    problem(StatusCode::PAYLOAD_TOO_LARGE, "exceeds limit.body")
}

/// The log learns why; whoever is not proved learns nothing.
fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Unproved(why) => {
            tracing::warn!(why, "a caller is not proved");
            problem(StatusCode::UNAUTHORIZED, "the caller is not proved")
        }
        Refusal::Forbidden(why) => {
            tracing::warn!(why, "a caller may not do that");
            problem(StatusCode::FORBIDDEN, "the caller may not do that")
        }
        Refusal::Unavailable(why) => {
            tracing::error!(why, "callers cannot be proved now");
            problem(StatusCode::SERVICE_UNAVAILABLE, "callers cannot be proved now")
        }
    }
}
