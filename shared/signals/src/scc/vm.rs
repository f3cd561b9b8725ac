//! The VM that a finding accuses. It stands in up to seven places, of which most findings fill one or two; those that
//! are filled must not contradict each other.

use stanch_core::{Result, Target, names::GceName, target::GceInstance};

use super::{
    name::{Project, Resource, Vm},
    owner::Owner,
    subjects::Place,
};
use crate::{at::At, kube, text::Notes};

/// The VMs: one, or those that `affectedResources` lists where no other place names one.
pub(super) fn add(
    subjects: &mut Vec<Target>,
    [main, other]: [&Place<'_>; 2],
    resource: &At<'_>,
    properties: &At<'_>,
    owner: &Owner,
    notes: &mut Notes,
) -> Result<()> {
    let mut named = Named::default();
    for (at, place) in [main, other] {
        if let Some(Resource::Vm(vm)) = place {
            named.add(at, vm)?;
        }
    }
    let detail = properties.get("properties")?;
    named.details(&detail)?;
    partial(resource, &detail, &mut named)?;
    let listed = affected(properties)?;
    match named.vm {
        Some((at, vm)) => {
            if !listed.is_empty() && !listed.iter().any(|it| vm.clone().with(it).is_some()) {
                return Err(properties.get("affectedResources")?.wrong(format!("disagrees with {}", at.path())));
            }
            push(subjects, &vm, owner, notes);
        }
        None => listed.iter().for_each(|vm| push(subjects, vm, owner, notes)),
    }
    Ok(())
}

/// The first place among the properties that names a VM.
pub(super) fn place<'a>(properties: &At<'a>) -> Result<Option<At<'a>>> {
    let mut named = Named::default();
    named.details(&properties.get("properties")?)?;
    if let Some((at, _)) = named.vm {
        return Ok(Some(at));
    }
    let listed = properties.get("affectedResources")?;
    Ok(if affected(properties)?.is_empty() { None } else { Some(listed) })
}

/// A VM as a target.
pub(super) fn push(subjects: &mut Vec<Target>, vm: &Vm, owner: &Owner, notes: &mut Notes) {
    match owner.resolve(&vm.project) {
        Some(project) => {
            let vm = GceInstance { project, zone: vm.zone.clone(), name: vm.name.clone(), id: vm.id.clone() };
            kube::add(subjects, Some(vm.into()));
        }
        None => notes.add("the VM's project is told by its number only"),
    }
}

/// What has been read so far, and from where.
#[derive(Default)]
struct Named<'a> {
    vm: Option<(At<'a>, Vm)>,
}

impl<'a> Named<'a> {
    fn add(&mut self, at: &At<'a>, vm: &Vm) -> Result<()> {
        self.vm = Some(match self.vm.take() {
            None => (*at, vm.clone()),
            Some((place, first)) => {
                let both = first.with(vm).ok_or_else(|| at.wrong(format!("disagrees with {}", place.path())))?;
                (place, both)
            }
        });
        Ok(())
    }

    /// What the properties of Event Threat Detection say in full.
    fn details(&mut self, detail: &At<'a>) -> Result<()> {
        let details = detail.get("instanceDetails")?;
        if let Some(vm) = Vm::details(&details)? {
            self.add(&details, &vm)?;
        }
        brute_force(detail, self)
    }
}

/// Brute Force: SSH names project, zone, instance id and, per attempt, the VM's name.
fn brute_force<'a>(detail: &At<'a>, named: &mut Named<'a>) -> Result<()> {
    let (project, zone, id) = (detail.get("projectId")?, detail.get("zone")?, detail.get("instanceId")?);
    let attempts = detail.get_one_of(["attempts", "loginAttempts"])?;
    let mut name: Option<GceName> = None;
    for attempt in attempts.items()? {
        let at = attempt.get("vmName")?;
        match (at.name::<GceName>()?, &name) {
            (Some(vm), Some(first)) if vm != *first => return Err(at.wrong("disagrees with the first attempt")),
            (Some(vm), _) => name = Some(vm),
            (None, _) => {}
        }
    }
    let id = match id.text()?.filter(|text| !text.is_empty()) {
        Some(text) => Some(id.parse(text)?),
        None => None,
    };
    if name.is_none() && id.is_none() {
        return Ok(());
    }
    let known = named.vm.as_ref().map(|(_, vm)| vm.clone());
    let vm = match (project.text()?, zone.name()?, known) {
        (Some(text), Some(zone), _) => Vm { project: Project::of(&project, text)?, zone, name, id },
        // The VM is named elsewhere: this must only fit to it.
        (_, _, Some(known)) => Vm { name, id, ..known },
        _ => return Ok(()),
    };
    named.add(&attempts, &vm)
}

/// What names a VM only together with another place: `displayName` and `gceInstanceId`.
fn partial<'a>(resource: &At<'a>, detail: &At<'a>, named: &mut Named<'a>) -> Result<()> {
    let Some((_, known)) = named.vm.clone() else { return Ok(()) };
    let shown = resource.get_one_of(["displayName", "display_name"])?;
    if let Some(Ok(name)) = shown.text()?.map(str::parse::<GceName>) {
        named.add(&shown, &Vm { name: Some(name), id: None, ..known.clone() })?;
    }
    let id = detail.get("gceInstanceId")?;
    if let Some(text) = id.text()?.filter(|text| !text.is_empty()) {
        named.add(&id, &Vm { name: None, id: Some(id.parse(text)?), ..known })?;
    }
    Ok(())
}

/// The VMs among the affected resources; the project is usually another of them.
fn affected(properties: &At<'_>) -> Result<Vec<Vm>> {
    let mut vms = Vec::new();
    for item in properties.get("affectedResources")?.items()?.iter().take(super::subjects::MAX_OBJECTS) {
        let at = item.get("gcpResourceName")?;
        if at.text()?.is_some_and(str::is_empty) {
            continue;
        }
        if let Some(Resource::Vm(vm)) = Resource::read(&at)?
            && !vms.contains(&vm)
        {
            vms.push(vm);
        }
    }
    Ok(vms)
}
