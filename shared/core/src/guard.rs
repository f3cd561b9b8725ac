//! The rules that may refuse an order. All are built in; a guard file can only name exceptions.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    alert::Severity,
    clock,
    error::{Error, Result},
    names::{AccountId, ProjectId},
    order::{Cause, Mode, Request},
    responder::{Exemption, Responder, Trigger},
    target::{Cluster, Scope, Target},
};

/// Alerts older than this are history: their target may be somebody else's by now.
const OLDEST: Duration = Duration::from_hours(6);
/// Clocks differ; more than this is a forged or broken time.
const AHEAD: Duration = Duration::from_mins(5);
/// Who holds one of these holds the cluster: an event must not be able to break it.
const CONTROL_PLANE: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
const CONTROL_PLANE_PREFIXES: [&str; 3] = ["gke-", "gmp-", "config-management-"];

/// What `STANCH_GUARD` holds. Absent fields take the built-in rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guard {
    /// AWS accounts in scope. Absent: the caller's own. Empty: none.
    pub accounts: Option<Vec<AccountId>>,
    /// Google Cloud projects in scope.
    pub projects: Option<Vec<ProjectId>>,
    /// Clusters in scope, as text: `eks:ACCOUNT/REGION/NAME`, `gke:PROJECT/LOCATION/NAME`, `context:NAME`.
    pub clusters: Option<Vec<String>>,
    /// Targets that are never touched: `i-…`, `node/NAME`, `pod/NAMESPACE/NAME`, `instance/ZONE/NAME`, `role/NAME`.
    pub exempt: Vec<String>,
    /// The severity from which an alert may act. Built in: high. Evidence and marks have no floor.
    pub severity_floor: Option<Severity>,
    /// Responders of trigger `order` that an event may set off all the same.
    pub auto: Vec<String>,
    /// Higher limits, by responder.
    pub limits: BTreeMap<String, Limits>,
    /// What a repeat with new activity after a revert does.
    pub after_revert: AfterRevert,
    /// Whether a cloud tag or label, which whoever holds the target may be able to set, can exempt it.
    pub trust_tags: bool,
}

/// How much one responder may touch in one account, project or cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Within ten minutes.
    pub per_ten_minutes: usize,
    /// Within 24 hours.
    pub per_day: usize,
    /// Objects that one order reaches.
    pub objects: usize,
    /// The share of a node pool or instance group that may be cut, drained or released at once, in percent. One
    /// member always may.
    pub percent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_ten_minutes: 5, per_day: 20, objects: 25, percent: 10 }
    }
}

/// What a repeat with new activity after a revert does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterRevert {
    /// It is logged as an error and reported; a person decides.
    #[default]
    Alarm,
    /// It is contained again, under a new record.
    Apply,
}

/// How far an order may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// As far as it asks.
    Full,
    /// To the plan and its report, for this reason.
    PlanOnly(String),
}

impl Guard {
    /// The rules that need nothing but the order, before any call is made.
    ///
    /// # Errors
    /// [`crate::Kind::Refused`], with the rule.
    pub fn admit<R: Responder>(&self, request: &Request, home: Option<&Scope>, now: Timestamp) -> Result<Leave> {
        let order = &request.order;
        self.in_scope(&order.target.scope(), home)?;
        self.not_listed(&order.target)?;
        control_plane(&order.target, request)?;
        let Cause::Alert(alert) = &request.cause else { return Ok(Leave::Full) };

        if order.mode == Mode::Revert {
            return Err(Error::refused("an event may not revert; only an order from a person or a playbook may"));
        }
        if let Some(why) = &alert.inactive {
            return Err(Error::refused(format!("the alert asks for no action: {why}")));
        }
        let floor = self.severity_floor.unwrap_or(Severity::High);
        if !R::GENTLE && alert.severity.is_none_or(|severity| severity < floor) {
            let severity = alert.severity.map_or_else(|| "unknown".to_owned(), |severity| severity.to_string());
            return Err(Error::refused(format!("severity {severity} is below the floor ({floor})")));
        }
        if R::TRIGGER == Trigger::Order && !self.auto.iter().any(|name| name == R::NAME) {
            return Ok(Leave::PlanOnly("this responder acts on orders; the guard does not list it under auto".into()));
        }
        Ok(match alert.last_seen {
            None => Leave::PlanOnly("the alert has no time".into()),
            Some(seen) if seen < clock::before(now, OLDEST) => {
                Leave::PlanOnly(format!("the alert is older than 6 hours ({seen})"))
            }
            Some(seen) if seen > clock::after(now, AHEAD) => {
                Leave::PlanOnly(format!("the alert is from the future ({seen})"))
            }
            Some(_) => Leave::Full,
        })
    }

    /// The rules about the resource that the target turned out to be.
    ///
    /// # Errors
    /// [`crate::Kind::Refused`], with the mark.
    pub fn admit_found(&self, target: &Target, exempt: &[Exemption]) -> Result<()> {
        self.not_listed(target)?;
        match exempt.iter().find(|exemption| self.trust_tags || !exemption.forgeable) {
            Some(exemption) => Err(exempted(target, &exemption.mark)),
            None => Ok(()),
        }
    }

    /// The limits of a responder.
    pub fn limits_of(&self, responder: &str) -> Limits {
        self.limits.get(responder).copied().unwrap_or_default()
    }

    /// Whether the scope must be asked for because no list of its kind is given.
    pub fn needs_home(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Account(_) => self.accounts.is_none(),
            Scope::Project(_) => self.projects.is_none(),
            Scope::Cluster(_) => self.clusters.is_none(),
        }
    }

    /// The accounts, projects and clusters that are listed, each of which [`Guard::validated`] has read.
    pub fn scopes(&self) -> Vec<Scope> {
        let accounts = self.accounts.iter().flatten().cloned().map(Scope::Account);
        let projects = self.projects.iter().flatten().cloned().map(Scope::Project);
        let clusters = self.clusters.iter().flatten().filter_map(|text| text.parse().ok()).map(Scope::Cluster);
        accounts.chain(projects).chain(clusters).collect()
    }

    fn in_scope(&self, scope: &Scope, home: Option<&Scope>) -> Result<()> {
        let listed = match scope {
            Scope::Account(account) => self.accounts.as_ref().map(|list| list.contains(account)),
            Scope::Project(project) => self.projects.as_ref().map(|list| list.contains(project)),
            Scope::Cluster(cluster) => self
                .clusters
                .as_ref()
                .map(|list| list.iter().any(|text| text.parse::<Cluster>().is_ok_and(|listed| listed == *cluster))),
        };
        match listed {
            Some(true) => Ok(()),
            Some(false) => Err(Error::refused(format!("{scope} is not in the guard's scope"))),
            None if home == Some(scope) => Ok(()),
            None => Err(Error::refused(match home {
                Some(home) => format!("{scope} is not our own ({home}), and the guard names no other"),
                None => format!("{scope} is not known to be our own, and the guard names no other"),
            })),
        }
    }

    fn not_listed(&self, target: &Target) -> Result<()> {
        let name = target.to_string();
        match self.exempt.iter().find(|exempt| **exempt == name) {
            Some(exempt) => Err(exempted(target, &format!("the guard's list ({exempt})"))),
            None => Ok(()),
        }
    }

    /// Checks what serde cannot: that each cluster can be read.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`], with the place.
    pub fn validated(self) -> Result<Self> {
        for (index, text) in self.clusters.iter().flatten().enumerate() {
            text.parse::<Cluster>().map_err(|error| error.within(&format!("guard.clusters[{index}]")))?;
        }
        Ok(self)
    }
}

/// An exempt target was accused: somebody must look.
fn exempted(target: &Target, mark: &str) -> Error {
    tracing::error!(%target, mark, "an exempt target was accused");
    Error::refused(format!("{target} is exempt by {mark}"))
}

/// Whether who holds this namespace holds the cluster.
pub fn is_control_plane(namespace: &str) -> bool {
    CONTROL_PLANE.contains(&namespace) || CONTROL_PLANE_PREFIXES.iter().any(|prefix| namespace.starts_with(prefix))
}

fn control_plane(target: &Target, request: &Request) -> Result<()> {
    let Some(namespace) = target.namespace().map(crate::names::Namespace::as_str) else { return Ok(()) };
    if !is_control_plane(namespace) {
        return Ok(());
    }
    match &request.cause {
        Cause::Person if request.order.protected => Ok(()),
        Cause::Person => Err(Error::refused(format!(
            "{namespace} is a control-plane namespace; name it on purpose with --protected"
        ))),
        Cause::Alert(_) => Err(Error::refused(format!("{namespace} is a control-plane namespace"))),
    }
}
