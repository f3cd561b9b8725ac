//! Operations of Compute Engine: a write is accepted first, and may fail after.
//!
//! `operations.wait` answers when one is done, or before "on a best-effort basis" (Compute Engine API reference): one call
//! a write, and no pause that is too long.

use std::time::Duration;

use google_cloud_compute_v1::model::{Operation, operation::Status};
use google_cloud_gax::error::Error as CallError;
use stanch_core::{Error, Kind, Result};
use tokio::time::{Instant, sleep};

use crate::{api::GceApi, facts::InstanceRef, fault, rest};

/// How long one write waits for its operation, to say why it failed. One that runs longer is of unknown outcome: the
/// driver looks for as long as the slot's lag.
const WAIT: Duration = Duration::from_secs(16);
/// How long it pauses before it asks again, where the service did not wait.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits for what an instance was told.
pub(crate) async fn in_zone(
    api: &GceApi,
    vm: &InstanceRef,
    method: &str,
    first: Result<Operation, CallError>,
) -> Result<()> {
    let first = first.map_err(|error| fault::call(method, &vm.path(), &error));
    settled(api, &format!("projects/{}/zones/{}", vm.project, vm.zone), method, &vm.path(), first).await
}

/// Waits for an accepted operation, and says why it failed if it did. It is in a `scope`: `projects/P/zones/Z`, its regions,
/// or `projects/P/global`.
pub(crate) async fn settled(
    api: &GceApi,
    scope: &str,
    method: &str,
    resource: &str,
    first: Result<Operation>,
) -> Result<()> {
    let mut answer = first?;
    let begun = Instant::now();
    let mut asked = false;
    while answer.status != Some(Status::Done) && begun.elapsed() < WAIT {
        if asked {
            sleep(PAUSE).await;
        }
        let odd = || Error::new(Kind::Internal, method, "the operation has no name").on(resource);
        let name = answer.name.ok_or_else(odd)?;
        let path = format!("{scope}/operations/{}/wait", rest::query(&name));
        answer =
            api.clients.compute.wait("compute.operations.wait", &path, WAIT.saturating_sub(begun.elapsed())).await?;
        asked = true;
    }
    match fault::operation(method, resource, &answer) {
        Some(error) => Err(error),
        None if answer.status == Some(Status::Done) => Ok(()),
        None => Err(Error::new(Kind::Unavailable, method, "the accepted operation is still running").on(resource)),
    }
}
