//! Whose resource it is. A finding's own resource name often has the project's number; the notification's `resource`
//! says number and id ("Security Command Center API: Resource"; v2 has them in `gcpMetadata`).

use stanch_core::{Result, names::ProjectId};

use super::name::Project;
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
        if owner.id.is_none() {
            // Documented as the project's id; some exports print its title instead, which is none.
            let beside = resource.get_one_of(["projectDisplayName", "project_display_name"])?;
            owner.id = [beside, cloud.get("projectDisplayName")?].iter().find_map(|at| at.name().ok().flatten());
        }
        Ok(owner)
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
