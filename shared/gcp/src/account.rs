//! Service accounts as targets: who one really is, and who uses it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use google_cloud_compute_v1::{client::Instances, model};
use google_cloud_gax::paginator::Paginator as _;
use serde_json::Value;
use stanch_core::{
    Check, Cloud, Error, Identity, Kind, Permissions, Result, Scope,
    names::{ProjectId, ServiceAccountEmail},
    target::GcpServiceAccount,
};

use crate::{
    clients::Clients,
    cloud::{Gcp, lines, names},
    fault, home,
    iam::{self, AccountSlot},
    mark::plain,
    rest::Rest,
};

/// The look-ups of one order about a service account.
#[derive(Debug)]
pub struct IamApi {
    clients: Arc<Clients>,
    revive: AtomicBool,
}

/// A service account, as far as responders need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFacts {
    /// Address and number.
    pub account: AccountSlot,
    /// It does not work now.
    pub disabled: bool,
}

impl IamApi {
    pub(crate) fn rest(&self) -> &Rest {
        &self.clients.iam
    }

    /// Whether the account is the one that we run as.
    pub async fn is_own(&self, email: &ServiceAccountEmail) -> bool {
        self.clients.own().await == Some(email)
    }

    /// Takes note that undoing may make old tokens valid again.
    pub fn lend_revive(&self, revive: bool) {
        self.revive.store(revive, Ordering::Relaxed);
    }

    pub(crate) fn may_revive(&self) -> bool {
        self.revive.load(Ordering::Relaxed)
    }

    /// The bindings by which workloads may speak as the account, and by role who else may become it.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn speakers(&self, account: &AccountSlot) -> Result<Speakers> {
        let policy = iam::policy(self.rest(), account).await?;
        Ok(Speakers { workloads: iam::workloads(&policy), others: iam::others(&policy) })
    }

    /// The keys that people made, and whether each is disabled.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn keys(&self, account: &AccountSlot) -> Result<Vec<(String, bool)>> {
        iam::keys(self.rest(), account).await
    }

    /// The instances of a project that run as the account, as `zone/name`.
    ///
    /// # Errors
    /// Whatever the service answers, classified.
    pub async fn users(&self, project: &ProjectId, email: &ServiceAccountEmail) -> Result<Vec<String>> {
        users(self.clients.instances().await?, project, email).await
    }
}

/// Who may speak as an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speakers {
    /// The bindings of Workload Identity.
    pub workloads: Vec<Value>,
    /// Other roles that let one become the account, and their members.
    pub others: Vec<(String, Vec<String>)>,
}

impl Speakers {
    /// The members of the Workload Identity bindings.
    pub fn members(&self) -> Vec<String> {
        iam::members(&self.workloads)
    }
}

impl Cloud<GcpServiceAccount> for Gcp {
    type Api = IamApi;
    type Facts = AccountFacts;

    fn from_env() -> Result<Self> {
        Self::of_env()
    }

    async fn warm(&self) {
        // What fails here fails again, and is reported, when an order needs it.
        drop(self.clients().await);
    }

    async fn home(&self) -> Result<Scope> {
        self.project().await.map(Scope::Project)
    }

    async fn connect(&self, _target: &GcpServiceAccount) -> Result<IamApi> {
        Ok(IamApi { clients: self.clients().await?, revive: AtomicBool::new(false) })
    }

    async fn identify(&self, api: &IamApi, target: &GcpServiceAccount) -> Result<Identity<AccountFacts>> {
        let facts = find(api.rest(), &target.project, &target.email).await?;
        Ok(Identity { uid: facts.account.unique_id.clone(), target: target.clone().into(), exempt: Vec::new(), facts })
    }

    /// Asks on the project: what holds there holds for its accounts and their keys.
    async fn check(&self, api: &IamApi, target: &GcpServiceAccount, needs: &Permissions) -> Vec<Check> {
        let names = names(needs);
        let held = home::held(self.access(), &api.clients.credentials, &target.project, &names).await;
        lines(&format!("project {}", target.project), &names, &held)
    }

    async fn check_scope(&self, scope: &Scope, needs: &Permissions) -> Vec<Check> {
        self.check_project(scope, needs).await
    }
}

/// The account of a project that has this address.
pub(crate) async fn find(rest: &Rest, project: &ProjectId, email: &ServiceAccountEmail) -> Result<AccountFacts> {
    const GET: &str = "iam.serviceAccounts.get";
    let path = format!("projects/{project}/serviceAccounts/{email}");
    let found: Value = rest.get(GET, &path).await?;
    let odd = |what: &str| Error::new(Kind::Internal, GET, what).on(&*path);
    let text = |name: &str| found.get(name).and_then(Value::as_str);
    if text("email") != Some(email.as_str()) {
        return Err(odd("the answer is of another account"));
    }
    let unique_id =
        text("uniqueId").filter(|id| (1..=32).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_digit()));
    let unique_id = unique_id.ok_or_else(|| odd("the answer has no valid number"))?.to_owned();
    let disabled = found.get("disabled").and_then(Value::as_bool).unwrap_or(false);
    let account = AccountSlot { project: project.clone(), email: email.clone(), unique_id };
    Ok(AccountFacts { account, disabled })
}

/// The instances of a project that run as an account.
pub(crate) async fn users(
    instances: &Instances,
    project: &ProjectId,
    email: &ServiceAccountEmail,
) -> Result<Vec<String>> {
    const LIST: &str = "compute.instances.list";
    let path = format!("projects/{project}/aggregated/instances");
    let mut users = Vec::new();
    let mut pages = instances.aggregated_list().set_project(project.as_str()).by_page();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| fault::call(LIST, &path, &error))?;
        for (scope, list) in page.items {
            let scope = plain(&scope, 63);
            // Who cannot see everything must not say that nobody else uses it.
            let warning = list.warning.and_then(|warning| warning.code).map(|code| code.to_string());
            if warning.is_some_and(|code| code != "NO_RESULTS_ON_PAGE") {
                let message = format!("the instances of {scope} cannot be listed now");
                return Err(Error::new(Kind::Unavailable, LIST, message).on(&*path));
            }
            let zone = scope.rsplit('/').next().unwrap_or_default();
            let runs_as = |one: &model::ServiceAccount| one.email.as_deref() == Some(email.as_str());
            for instance in list.instances.iter().filter(|one| one.service_accounts.iter().any(runs_as)) {
                users.push(format!("{zone}/{}", plain(instance.name.as_deref().unwrap_or("unnamed"), 63)));
            }
        }
    }
    users.sort();
    users.dedup();
    Ok(users)
}

/// An agent of Google's own, which no project can disable (IAM: "Service agents").
pub fn is_agent(email: &ServiceAccountEmail) -> bool {
    let domain = email.as_str().split_once('@').map_or("", |(_, domain)| domain);
    domain == "cloudservices.gserviceaccount.com"
        || domain.starts_with("gcp-sa-")
        || domain == "container-engine-robot.iam.gserviceaccount.com"
        || domain.ends_with("-system.iam.gserviceaccount.com")
        || domain == "cloudbuild.gserviceaccount.com"
        || domain == "serverless-robot-prod.iam.gserviceaccount.com"
}
