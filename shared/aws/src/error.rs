//! One classifier for every SDK error: what it means for whoever asked.
//!
//! Sources: Amazon EC2 API Reference "Error codes for the Amazon EC2 API"; EC2 Developer Guide "Request throttling"
//! and "Eventual consistency"; AWS re:Post "ebs-snapshot-stuck" (15 seconds between snapshots of one volume).

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use stanch_core::{Error, Kind};

/// One snapshot per volume in 15 seconds.
const PER_VOLUME_RATE: Duration = Duration::from_secs(15);
/// A pending snapshot has to complete first, which takes minutes.
const PENDING_LIMIT: Duration = Duration::from_mins(1);
/// AWS's messages are a line or two; an encoded authorization failure is a page.
const MESSAGE: usize = 300;

/// An SDK error as ours, for every part of the wing. `operation` is the IAM action, e.g. `ec2:CreateSnapshots`.
pub fn classify<E>(operation: &str, resource: impl Into<String>, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let resource = resource.into();
    if let SdkError::ServiceError(service) = &error {
        let status = service.raw().status().as_u16();
        return from_service(operation, service.err().meta(), status).on(resource);
    }
    if let Some(missing) = credentials(&error) {
        return Error::new(missing, operation, "no AWS credentials").on(resource).because(cause(error));
    }
    let (kind, message) = match &error {
        SdkError::ConstructionFailure(_) => (Kind::Internal, "the request could not be made"),
        SdkError::TimeoutError(_) => (Kind::Unavailable, "no answer in time"),
        SdkError::DispatchFailure(failure) if failure.is_user() => (Kind::Internal, "the request could not be sent"),
        SdkError::DispatchFailure(_) => (Kind::Unavailable, "no answer"),
        // Bytes came back that are no answer; the call may well have been carried out.
        _ => (Kind::Unavailable, "the answer could not be read"),
    };
    Error::new(kind, operation, message).on(resource).because(cause(error))
}

/// What the service itself says.
fn from_service(operation: &str, meta: &ErrorMetadata, status: u16) -> Error {
    let code = meta.code().unwrap_or("no code");
    let said = plain(meta.message().unwrap_or("no message"));
    let (kind, wait) = kind(code, &said, status);
    let advice = match kind {
        Kind::Denied => format!("{} is not allowed: ", action(operation, &said)),
        Kind::Unsupported if operator(&said) => {
            "an operator such as EKS Auto Mode manages the instance; use the Kubernetes responders on its node: "
                .to_owned()
        }
        _ => String::new(),
    };
    let request = meta.request_id().map(|id| format!(", request {}", plain(id))).unwrap_or_default();
    Error::new(kind, operation, format!("{advice}{said} ({code}{request})")).retry_after(wait)
}

/// What an error code means, and how long it asks us to wait.
fn kind(code: &str, said: &str, status: u16) -> (Kind, Option<Duration>) {
    match code {
        "SnapshotCreationPerVolumeRateExceeded" => (Kind::Throttled, Some(PER_VOLUME_RATE)),
        "ConcurrentSnapshotLimitExceeded" | "PendingSnapshotLimitExceeded" => (Kind::Throttled, Some(PENDING_LIMIT)),
        "RequestLimitExceeded"
        | "EC2ThrottledException"
        | "SlowDown"
        | "TooManyRequestsException"
        | "PriorRequestNotComplete"
        // Auto Scaling: another change of the group is under way, and this one was not begun.
        | "ResourceContention"
        | "ScalingActivityInProgress"
        | "BandwidthLimitExceeded" => (Kind::Throttled, None),
        _ if code.starts_with("Throttl") || code.starts_with("RequestThrottl") => (Kind::Throttled, None),
        "UnauthorizedOperation"
        | "AuthFailure"
        | "Blocked"
        | "OptInRequired"
        | "PendingVerification"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "RequestExpired" => (Kind::Denied, None),
        _ if code.starts_with("AccessDenied") || code.starts_with("ExpiredToken") => (Kind::Denied, None),
        "NoSuchEntity" | "ResourceNotFoundException" => (Kind::NotFound, None),
        // IAM's way to say that a role or policy is being changed, or belongs to a service.
        "EntityTemporarilyUnmodifiable" | "ConcurrentModificationException" | "ResourceInUseException" => (Kind::Conflict, None),
        "UnmodifiableEntity" | "LimitExceeded" | "PolicyNotAttachable" => (Kind::Unsupported, None),
        _ if code.ends_with("NotFound") => (Kind::NotFound, None),
        // The limits are quotas, not rates: waiting does not help, a person has to raise them or make room.
        "OperationNotPermitted"
        | "UnsupportedOperation"
        | "Unsupported"
        | "SnapshotLimitExceeded"
        | "ResourceLimitExceeded"
        // Auto Scaling and load balancers refuse with these what the state of the group does not allow.
        | "ValidationError"
        | "InvalidTarget" => (Kind::Unsupported, None),
        // Something still uses it, or it is somewhere else by now.
        "DependencyViolation"
        | "ResourceInUse"
        | "InvalidGroup.InUse"
        | "Resource.AlreadyAssociated"
        | "IncorrectState"
        | "IncorrectInstanceState"
        | "IncorrectSpotRequestState"
        | "ConcurrentModification" => (Kind::Conflict, None),
        "RequestTimeout" => (Kind::Unavailable, None),
        _ if code.ends_with(".Malformed") => (Kind::Invalid, None),
        _ if operator(said) => (Kind::Unsupported, None),
        // Without a code that says more, a status says enough: a service of another protocol, or a proxy in between.
        "no code" if status == 401 || status == 403 => (Kind::Denied, None),
        _ if status == 429 => (Kind::Throttled, None),
        _ if status >= 500 => (Kind::Unavailable, None),
        // The request was made from checked values: what AWS refuses about its form is a defect of ours.
        _ => (Kind::Internal, None),
    }
}

/// AWS blocks changes to instances that another service operates (EC2 User Guide: "Amazon EC2 managed instances").
fn operator(said: &str) -> bool {
    said.contains("operator manages") || said.contains("managed by an operator") || said.contains("managed by EKS")
}

/// The action that is missing. It need not be the one called: tags at creation need `ec2:CreateTags`, and AWS says
/// so in words only.
fn action<'a>(operation: &'a str, said: &'a str) -> &'a str {
    said.split_once("not authorized to perform: ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .filter(|action| action.contains(':'))
        .unwrap_or(operation)
}

/// Whether the credentials are what failed: without any, trying again does not help; a provider that does not
/// answer may answer later.
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

fn cause<E>(error: SdkError<E, HttpResponse>) -> Box<dyn std::error::Error + Send + Sync>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match error.into_source() {
        Ok(source) => source,
        Err(error) => Box::new(error),
    }
}

/// Foreign text without control characters, an encoded authorization failure cut off.
pub fn plain(text: &str) -> String {
    let text = text.split_once(" Encoded authorization failure message").map_or(text, |(said, _)| said);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str, message: &str, status: u16) -> Error {
        let meta = ErrorMetadata::builder().code(code).message(message).build();
        from_service("ec2:CreateSnapshots", &meta, status)
    }

    #[test]
    fn every_documented_code_has_its_kind() {
        for (code, status, kind, wait) in [
            ("UnauthorizedOperation", 403, Kind::Denied, None),
            ("AccessDenied", 403, Kind::Denied, None),
            ("AccessDeniedException", 400, Kind::Denied, None),
            ("ExpiredTokenException", 403, Kind::Denied, None),
            ("InvalidInstanceID.NotFound", 400, Kind::NotFound, None),
            ("InvalidSnapshot.NotFound", 400, Kind::NotFound, None),
            ("InvalidInstanceID.Malformed", 400, Kind::Invalid, None),
            ("RequestLimitExceeded", 503, Kind::Throttled, None),
            ("ThrottlingException", 400, Kind::Throttled, None),
            ("SnapshotCreationPerVolumeRateExceeded", 400, Kind::Throttled, Some(15)),
            ("ConcurrentSnapshotLimitExceeded", 400, Kind::Throttled, Some(60)),
            ("SnapshotLimitExceeded", 400, Kind::Unsupported, None),
            ("OperationNotPermitted", 400, Kind::Unsupported, None),
            ("IncorrectInstanceState", 400, Kind::Conflict, None),
            ("InternalError", 500, Kind::Unavailable, None),
            ("Unavailable", 503, Kind::Unavailable, None),
            ("InvalidParameterValue", 400, Kind::Internal, None),
        ] {
            let error = said(code, "text", status);
            assert_eq!(error.kind(), kind, "{code}");
            assert_eq!(error.wait(), wait.map(Duration::from_secs), "{code}");
            assert!(error.to_string().contains(code), "{error}");
        }
    }

    #[test]
    fn a_status_says_enough_where_there_is_no_code() {
        let error = from_service("eks:ListClusters", &ErrorMetadata::builder().build(), 403);
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.message().starts_with("eks:ListClusters is not allowed"), "{error}");
    }

    #[test]
    fn a_denial_names_the_action_that_is_missing() {
        let error = said("UnauthorizedOperation", "You are not authorized to perform this operation.", 403);
        assert!(error.message().starts_with("ec2:CreateSnapshots is not allowed: "), "{error}");
        let tags = "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/a is not \
                    authorized to perform: ec2:CreateTags on resource: x Encoded authorization failure message: AAAA";
        let error = said("UnauthorizedOperation", tags, 403);
        assert!(error.message().starts_with("ec2:CreateTags is not allowed: "), "{error}");
        assert!(!error.message().contains("AAAA"), "{error}");
    }

    #[test]
    fn an_operated_instance_says_what_to_do_instead() {
        let text = "The operation is not permitted because an operator manages the resource.";
        let error = said("OperationNotPermitted", text, 400);
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.message().contains("Kubernetes responders"), "{error}");
    }

    #[test]
    fn foreign_text_cannot_draw_on_a_terminal() {
        let error = said("InternalError", "a\u{1b}[2Jb\nc", 500);
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
    }
}
