//! Operations of Compute Engine: a write is accepted first, and may fail after.
//!
//! `operations.wait` answers when one is done, or before "on a best-effort basis" (Compute Engine API reference): a call
//! a write instead of a poll a second, and no pause that is too long.

use std::time::Duration;

use google_cloud_compute_v1::model::{Operation, operation::Status};
use google_cloud_gax::{error::Error as CallError, options::RequestOptionsBuilder};
use stanch_core::{
    Error, Kind, Result,
    names::{Location, ProjectId, Zone},
};
use tokio::time::{Instant, sleep};

use crate::{api::GceApi, fault};

/// How long one write waits for its operation, to say why it failed. One that runs longer is of unknown outcome: the
/// driver looks for as long as the slot's lag.
const WAIT: Duration = Duration::from_secs(16);
/// How long it pauses before it asks again, where the service did not wait.
const PAUSE: Duration = Duration::from_millis(500);

/// What was accepted, or not.
pub(crate) type First = Result<Operation, CallError>;

/// Sends the wait for an operation of one kind of place, made by its own client.
macro_rules! wait {
    ($api:expr, $clients:ident, $resource:expr, $project:expr $(, $set:ident($place:expr))?) => {
        |operation: String, left: Duration| async move {
            let call = $api.clients.$clients().await?.wait().with_attempt_timeout(left).set_operation(operation);
            let answer = call.set_project($project.as_str())$(.$set($place.as_str()))?.send().await;
            answer.map_err(|error| fault::call(concat!("compute.", stringify!($clients), ".wait"), $resource, &error))
        }
    };
}

/// Waits for an operation on something that is in no place, such as a firewall rule.
pub(crate) async fn globally(
    api: &GceApi,
    project: &ProjectId,
    method: &str,
    resource: &str,
    first: First,
) -> Result<()> {
    settled(method, resource, first, wait!(api, global_operations, resource, project)).await
}

/// Waits for an operation in a zone.
pub(crate) async fn in_zone(
    api: &GceApi,
    (project, zone): (&ProjectId, &Zone),
    method: &str,
    resource: &str,
    first: First,
) -> Result<()> {
    settled(method, resource, first, wait!(api, zone_operations, resource, project, set_zone(zone))).await
}

/// Waits for an operation in a region.
pub(crate) async fn in_region(
    api: &GceApi,
    (project, region): (&ProjectId, &Location),
    method: &str,
    resource: &str,
    first: First,
) -> Result<()> {
    settled(method, resource, first, wait!(api, region_operations, resource, project, set_region(region))).await
}

/// Waits for an accepted operation, and says why it failed if it did.
async fn settled<F>(method: &str, resource: &str, first: First, wait: impl Fn(String, Duration) -> F) -> Result<()>
where
    F: Future<Output = Result<Operation>>,
{
    let mut answer = first.map_err(|error| fault::call(method, resource, &error))?;
    let begun = Instant::now();
    let mut asked = false;
    while answer.status != Some(Status::Done) && begun.elapsed() < WAIT {
        if asked {
            sleep(PAUSE).await;
        }
        let odd = || Error::new(Kind::Internal, method, "the operation has no name").on(resource);
        let name = answer.name.clone().ok_or_else(odd)?;
        answer = wait(name, WAIT.saturating_sub(begun.elapsed())).await?;
        asked = true;
    }
    match fault::operation(method, resource, &answer) {
        Some(error) => Err(error),
        None if answer.status == Some(Status::Done) => Ok(()),
        None => Err(Error::new(Kind::Unavailable, method, "the accepted operation is still running").on(resource)),
    }
}
