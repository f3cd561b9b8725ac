//! What DynamoDB's errors mean. Source: DynamoDB Developer Guide "Error handling with DynamoDB", API Reference
//! "`TransactionCanceledException`".

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    operation::{RequestId, transact_write_items::TransactWriteItemsError},
};
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use stanch_core::{Error, Kind, Result, Saved};

/// AWS's messages are a line or two.
const MESSAGE: usize = 300;

/// Why a transaction was canceled. Nothing of it was written.
///
/// A failed condition says that an item moved. A conflict says less: another transaction on the same item was under
/// way, which may have failed in turn. `Moved` would make the caller believe that it has lost; so it is `Throttled`,
/// and the same save is tried again.
pub(crate) fn canceled(error: &TransactWriteItemsError, operation: &str, table: &str) -> Result<Saved> {
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        return Err(Error::new(Kind::Internal, operation, text(error)).on(table));
    };
    let reasons: Vec<&str> = canceled.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect();
    if reasons.contains(&"ConditionalCheckFailed") {
        return Ok(Saved::Moved);
    }
    let throttled = ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"];
    let kind = if reasons.iter().any(|reason| throttled.contains(reason)) { Kind::Throttled } else { Kind::Internal };
    Err(Error::new(kind, operation, text(error)).on(table))
}

pub(crate) fn classify<E>(operation: &str, table: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if let SdkError::ServiceError(service) = &error {
        let kind = kind(service.err().code().unwrap_or_default(), service.raw().status().as_u16());
        let message = match kind {
            Kind::Denied => format!("{operation} is not allowed: {}", text(service.err())),
            _ => text(service.err()),
        };
        return Error::new(kind, operation, message).on(table);
    }
    let (kind, message) = match (&error, credentials(&error)) {
        (_, Some(kind)) => (kind, "no AWS credentials"),
        (SdkError::ConstructionFailure(_), _) => (Kind::Internal, "the request could not be made"),
        (SdkError::TimeoutError(_), _) => (Kind::Unavailable, "no answer in time"),
        (SdkError::DispatchFailure(_), _) => (Kind::Unavailable, "no answer"),
        _ => (Kind::Unavailable, "the answer could not be read"),
    };
    let error = match error.into_source() {
        Ok(source) => source,
        Err(error) => Box::new(error),
    };
    Error::new(kind, operation, message).on(table).because(error)
}

fn kind(code: &str, status: u16) -> Kind {
    match code {
        // Without capacity, or another transaction on the item was under way: nothing was written.
        "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "ThrottlingException"
        | "Throttling"
        | "TransactionConflictException"
        | "TransactionInProgressException"
        | "LimitExceededException" => Kind::Throttled,
        "ResourceNotFoundException" => Kind::NotFound,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => Kind::Denied,
        _ if code.starts_with("AccessDenied") || code.starts_with("ExpiredToken") => Kind::Denied,
        _ if status == 429 => Kind::Throttled,
        _ if status >= 500 => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

fn credentials<E>(error: &SdkError<E, HttpResponse>) -> Option<Kind>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(failure) = inner.downcast_ref::<CredentialsError>() {
            return Some(match failure {
                CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => Kind::Denied,
                _ => Kind::Unavailable,
            });
        }
        cause = inner.source();
    }
    None
}

/// What the service says, with code and request id, without control characters.
fn text<E: ProvideErrorMetadata>(error: &E) -> String {
    let request = error.meta().request_id().map(|id| format!(", request {id}")).unwrap_or_default();
    let said = format!(
        "{} ({}{request})",
        error.message().unwrap_or("no message").chars().take(MESSAGE).collect::<String>(),
        error.code().unwrap_or("no code")
    );
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
