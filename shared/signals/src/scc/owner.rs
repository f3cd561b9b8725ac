//! Whose resource it is. A finding's own resource name often has the project's number; the notification's `resource`
//! says number and id ("Security Command Center API: Resource"; v2 has them in `gcpMetadata`).

use stanch_core::{Result, names::ProjectId};

use super::{
    name::{Project, Resource},
    subjects::Place,
};
use crate::at::At;

/// A project's number and id.
#[derive(Debug, Default)]
pub(super) struct Owner {
    number: Option<String>,
    id: Option<ProjectId>,
}

impl Owner {
    pub(super) fn read(resource: &At<'_>) -> Result<Self> {
        let cloud = resource.get("gcpMetadata")?;
        let mut owner = Self::default();
        for at in
            [resource.get("project")?, resource.get_one_of(["projectName", "project_name"])?, cloud.get("project")?]
        {
            let Some(text) = at.text()?.filter(|text| !text.is_empty()) else { continue };
            match Project::of(&at, text.rsplit('/').next().unwrap_or_default())? {
                Project::Number(number) => owner.number = Some(number),
                Project::Id(id) => owner.id = Some(id),
            }
        }
        // Documented as the project's id; some exports print its title instead, which is none.
        let beside = resource.get_one_of(["projectDisplayName", "project_display_name"])?;
        for at in [beside, cloud.get("projectDisplayName")?] {
            match (at.name::<ProjectId>().ok().flatten(), &owner.id) {
                (Some(shown), Some(id)) if shown != *id => return Err(at.wrong("disagrees with the project's name")),
                (Some(shown), _) => owner.id = Some(shown),
                (None, _) => {}
            }
        }
        Ok(owner)
    }

    /// The resource itself must be in this project.
    pub(super) fn must_own(&self, (at, place): &Place<'_>) -> Result<()> {
        let project = match place {
            Some(Resource::Vm(vm)) => &vm.project,
            Some(Resource::Cluster(cluster, _)) => &cluster.project,
            Some(Resource::ServiceAccount(project, _)) => project,
            _ => return Ok(()),
        };
        let fits = match project {
            Project::Id(id) => self.id.as_ref().is_none_or(|own| own == id),
            Project::Number(number) => self.number.as_ref().is_none_or(|own| own == number),
        };
        if fits { Ok(()) } else { Err(at.wrong("is in another project than the notification says")) }
    }

    /// The id of a project.
    pub(super) fn resolve(&self, project: &Project) -> Option<ProjectId> {
        match project {
            Project::Id(id) => Some(id.clone()),
            Project::Number(number) if self.number.as_ref().is_none_or(|it| it == number) => self.id.clone(),
            Project::Number(_) => None,
        }
    }
}
