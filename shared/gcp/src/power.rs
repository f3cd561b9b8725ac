//! The calls on one instance, by its number: a call never reaches another instance of the same name.

use google_cloud_compute_v1::model::{Instance, InstancesSetServiceAccountRequest, instance::Status};
use stanch_core::{Error, Kind, Result, names::ServiceAccountEmail};

use crate::{api::GceApi, facts::InstanceRef, fault};

const GET: &str = "compute.instances.get";

/// The instance as it is now.
pub(crate) async fn read(api: &GceApi, vm: &InstanceRef) -> Result<Instance> {
    let call = api.clients.instances().await?.get().set_project(vm.project.as_str()).set_zone(vm.zone.as_str());
    let found = call.set_instance(vm.id.as_str()).send().await.map_err(|error| fault::call(GET, &vm.path(), &error))?;
    if found.id.is_some_and(|id| id.to_string() == vm.id.as_str()) {
        return Ok(found);
    }
    Err(Error::new(Kind::Internal, GET, "the answer is of another instance").on(vm.path()))
}

/// Whether it runs, and what it is on its way to. On its way it still is what it was.
pub(crate) fn running(instance: &Instance, vm: &InstanceRef) -> Result<(bool, Option<String>)> {
    let on_its_way = |text: &str| Some(format!("{} is {text}", vm.name));
    match instance.status {
        Some(Status::Running) => Ok((true, None)),
        Some(Status::Stopping) => Ok((true, on_its_way("stopping"))),
        Some(Status::Terminated) => Ok((false, None)),
        Some(Status::Provisioning | Status::Staging) => Ok((false, on_its_way("starting"))),
        _ => {
            let message = "the instance is suspended, in repair, or in a state that is not documented";
            Err(Error::new(Kind::Conflict, GET, message).on(vm.path()))
        }
    }
}

/// The service account on it, and the scopes of its tokens.
pub(crate) fn account(instance: Instance, vm: &InstanceRef) -> Result<(Option<ServiceAccountEmail>, Vec<String>)> {
    let Some(first) = instance.service_accounts.into_iter().next() else { return Ok((None, Vec::new())) };
    let odd = || Error::new(Kind::Internal, GET, "the answer has a service account of an unknown form").on(vm.path());
    let email = first.email.and_then(|email| email.parse().ok()).ok_or_else(odd)?;
    Ok((Some(email), first.scopes))
}

/// Runs one write on it and waits a moment for its operation.
macro_rules! operate {
    ($api:expr, $vm:expr, $name:literal, $method:ident $(. $set:ident($value:expr))*) => {{
        let (client, vm) = ($api.clients.instances().await?, $vm);
        let (project, zone) = (vm.project.as_str(), vm.zone.as_str());
        let call = client.$method().set_project(project).set_zone(zone).set_instance(vm.id.as_str());
        let first = call$(.$set($value))*.send().await;
        $crate::wait::in_zone($api, vm, $name, first).await
    }};
}

pub(crate) use operate;

pub(crate) async fn start(api: &GceApi, vm: &InstanceRef) -> Result<()> {
    operate!(api, vm, "compute.instances.start", start)
}

/// With local SSDs the service wants to be told that their content may go.
pub(crate) async fn stop(api: &GceApi, vm: &InstanceRef, discard_local_ssd: bool) -> Result<()> {
    let discard = discard_local_ssd.then_some(true);
    operate!(api, vm, "compute.instances.stop", stop.set_or_clear_discard_local_ssd(discard))
}

pub(crate) async fn set_account(
    api: &GceApi,
    vm: &InstanceRef,
    account: Option<&ServiceAccountEmail>,
    scopes: &[String],
) -> Result<()> {
    let mut body = InstancesSetServiceAccountRequest::new().set_scopes(scopes.iter().cloned());
    if let Some(account) = account {
        body = body.set_email(account.as_str());
    }
    operate!(api, vm, "compute.instances.setServiceAccount", set_service_account.set_body(body))
}

pub(crate) async fn delete(api: &GceApi, vm: &InstanceRef) -> Result<()> {
    operate!(api, vm, "compute.instances.delete", delete)
}
