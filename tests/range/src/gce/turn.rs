//! One request on its way through the routes: who asks, what was noted of it, and the operation that it starts.

use http::Method;
use serde_json::Value;

use super::error::Refusal;
use super::model::OperationFailure;
use super::state::{Effect, Operation, Pending, Scope, State};
use super::{api, render, snapshots};
use crate::host::Asked;

/// What the route learned about the call, for the log.
pub(crate) struct Noted {
    pub(crate) permissions: Vec<&'static str>,
    pub(crate) write: bool,
}

pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) asked: &'a Asked,
    pub(crate) noted: &'a mut Noted,
    pub(crate) project: String,
    /// The path behind `compute/v1/`.
    pub(crate) resource: String,
}

impl Turn<'_> {
    pub(crate) fn get(&self) -> bool {
        self.asked.method == Method::GET
    }

    pub(crate) fn post(&self) -> bool {
        self.asked.method == Method::POST
    }

    /// The caller must hold all of these on a resource.
    pub(crate) fn need(&mut self, permissions: &[&'static str], on: &str) -> Result<(), Refusal> {
        self.noted.permissions.extend(permissions);
        permissions.iter().try_for_each(|permission| api::permit(self.state, self.asked, permission, on))
    }

    /// The same, of a call that changes something.
    pub(crate) fn may(&mut self, permissions: &[&'static str], on: &str) -> Result<(), Refusal> {
        self.noted.write = true;
        self.need(permissions, on)
    }

    pub(crate) fn body(&self) -> Result<Value, Refusal> {
        api::json_body(self.asked)
    }

    /// A parameter that the call cannot do without.
    pub(crate) fn required(&self, name: &str) -> Result<String, Refusal> {
        self.asked
            .param(name)
            .ok_or_else(|| Refusal::new(400, "required", format!("Required field '{name}' not specified")))
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.asked.param(name).and_then(|value| value.parse().ok())
    }

    /// The answer of an operation that this `requestId` started before.
    pub(crate) fn repeated(&self) -> Result<Option<Value>, Refusal> {
        let found = snapshots::repeated(self.state, self.asked)?;
        found.map(|id| self.operation(id, render::operation)).transpose()
    }

    /// Accepts a change: it takes place when its operation is done, unless that fails.
    pub(crate) fn start(
        &mut self,
        kind: &'static str,
        scope: Scope,
        target: (String, u64),
        effect: Effect,
    ) -> Result<Value, Refusal> {
        let failure = self.state.planned_failure(&self.asked.path);
        let project = self.project.clone();
        let operation = snapshots::begin(self.state, self.asked, &project, (kind, scope), target, failure)?;
        self.state.pending.push(Pending { operation, effect });
        self.state.settle();
        self.operation(operation, render::accepted)
    }

    fn operation(&self, id: u64, render: fn(&State, &Operation) -> Value) -> Result<Value, Refusal> {
        let found = self.state.operations.iter().find(|kept| kept.id == id);
        found.map(|kept| render(self.state, kept)).ok_or_else(Refusal::unavailable)
    }
}

/// The last part of a link or name, and the zone in front of it, if it says one.
pub(crate) fn zonal_link(link: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = link.split('/').collect();
    match parts.as_slice() {
        [.., "zones", zone, "instances", name] => Some(((*zone).to_owned(), (*name).to_owned())),
        _ => None,
    }
}

/// The last part of a link.
pub(crate) fn last(link: &str) -> &str {
    link.rsplit('/').next().unwrap_or(link)
}

/// How an accepted operation says that its resource is not there any more.
pub(crate) fn vanished(resource: &str) -> OperationFailure {
    OperationFailure::new("RESOURCE_NOT_FOUND", 404, &format!("The resource '{resource}' was not found"))
}
