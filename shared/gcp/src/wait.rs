//! Operations of Compute Engine: a write is accepted first, and may fail after.

use std::time::Duration;

use google_cloud_compute_v1::model::{Operation, operation::Status};
use google_cloud_gax::error::Error as CallError;
use stanch_core::{Error, Kind, Result};

use crate::fault;

/// How long one write waits for its operation, to say why it failed. One that runs longer is of unknown outcome: the
/// driver looks for as long as the slot's lag.
const WAIT: Duration = Duration::from_secs(16);
/// How long it pauses between two looks: at first hardly, then two seconds.
const PAUSES: [u64; 4] = [50, 200, 500, 1000];
const PAUSE: u64 = 2000;

/// Waits a moment for an accepted operation, and says why it failed if it did.
pub(crate) async fn settled<F>(
    operation: &str,
    resource: &str,
    first: Result<Operation, CallError>,
    again: impl Fn(String) -> F,
) -> Result<()>
where
    F: Future<Output = Result<Operation, CallError>>,
{
    let mut answer = first.map_err(|error| fault::call(operation, resource, &error))?;
    let mut waited = Duration::ZERO;
    let mut pauses = PAUSES.iter();
    while answer.status != Some(Status::Done) && waited < WAIT {
        let odd = || Error::new(Kind::Internal, operation, "the operation has no name").on(resource);
        let name = answer.name.clone().ok_or_else(odd)?;
        let pause = Duration::from_millis(pauses.next().copied().unwrap_or(PAUSE));
        tokio::time::sleep(pause).await;
        waited += pause;
        answer = again(name).await.map_err(|error| fault::call("compute.operations.get", resource, &error))?;
    }
    match fault::operation(operation, resource, &answer) {
        Some(error) => Err(error),
        None if answer.status == Some(Status::Done) => Ok(()),
        None => Err(Error::new(Kind::Unavailable, operation, "the accepted operation is still running").on(resource)),
    }
}
