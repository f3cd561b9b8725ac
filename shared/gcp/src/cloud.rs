//! Google Cloud: made once a process, connected once an order.

use std::{collections::BTreeSet, env, sync::Arc};

use futures::future::join_all;
use stanch_core::{
    Check, Cloud, Error, Exemption, Identity, Permission, Permissions, Result, Scope,
    names::{ProjectId, ServiceAccountEmail},
    target::GceInstance,
};
use tokio::sync::OnceCell;

use crate::{
    api::GceApi,
    clients::{Access, Clients, Token},
    facts::{DiskKind, EXEMPT_LABEL, GceFacts},
    home,
};

/// Google Cloud.
///
/// Credentials are Application Default Credentials (Google Cloud: "How Application Default Credentials works"):
/// a file, workload identity federation, or the metadata server.
///
/// For tests and the range, `STANCH_GCE_ENDPOINT` names another server (`http://127.0.0.1:8080`). It is spoken to
/// with the bearer token of `STANCH_GCE_TOKEN`, or with none, and never with real credentials.
#[derive(Clone, Debug)]
pub struct Gcp {
    access: Access,
    clients: Arc<OnceCell<Arc<Clients>>>,
    project: Arc<OnceCell<ProjectId>>,
    /// The account that we run as, where it is told and not found.
    own: Option<ServiceAccountEmail>,
}

impl Gcp {
    /// Another server than Google's, with a fixed token or none.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Invalid`] when the address or the token cannot be one.
    pub fn at(endpoint: &str, token: Option<&str>) -> Result<Self> {
        let url = endpoint.parse::<http::Uri>().ok();
        if !url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()) {
            return Err(Error::invalid("STANCH_GCE_ENDPOINT", "must be an http or https URL"));
        }
        let bad = || Error::invalid("STANCH_GCE_TOKEN", "must be printable and not empty");
        let token = token.map(|token| Token::parse(token).ok_or_else(bad)).transpose()?;
        Ok(Self::new(Access::At { endpoint: endpoint.to_owned(), token }))
    }

    fn new(access: Access) -> Self {
        Self { access, clients: Arc::default(), project: Arc::default(), own: None }
    }

    /// Says which account it runs as: that one is never disabled.
    #[must_use]
    pub fn acting_as(self, own: ServiceAccountEmail) -> Self {
        Self { own: Some(own), clients: Arc::default(), ..self }
    }

    pub(crate) fn of_env() -> Result<Self> {
        match env::var("STANCH_GCE_ENDPOINT") {
            Ok(endpoint) => Self::at(&endpoint, env::var("STANCH_GCE_TOKEN").ok().as_deref()),
            Err(env::VarError::NotPresent) => Ok(Self::new(Access::Google)),
            Err(env::VarError::NotUnicode(_)) => Err(Error::invalid("STANCH_GCE_ENDPOINT", "must be UTF-8")),
        }
    }

    pub(crate) const fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) async fn clients(&self) -> Result<Arc<Clients>> {
        let build = async || Clients::new(&self.access, self.own.clone()).map(Arc::new);
        self.clients.get_or_try_init(build).await.cloned()
    }

    /// The project that we run in: asked once.
    pub(crate) async fn project(&self) -> Result<ProjectId> {
        self.project.get_or_try_init(home::project).await.cloned()
    }
}

impl Cloud<GceInstance> for Gcp {
    type Api = GceApi;
    type Facts = GceFacts;

    fn from_env() -> Result<Self> {
        Self::of_env()
    }

    async fn warm(&self) {
        // What fails here fails again, and is reported, when an order needs it.
        if let Ok(clients) = self.clients().await {
            drop(clients.instances().await);
        }
    }

    async fn home(&self) -> Result<Scope> {
        self.project().await.map(Scope::Project)
    }

    async fn connect(&self, _target: &GceInstance) -> Result<GceApi> {
        self.clients().await.map(GceApi::new)
    }

    async fn identify(&self, api: &GceApi, target: &GceInstance) -> Result<Identity<GceFacts>> {
        let facts = api.instance(target).await?;
        let named = GceInstance { name: Some(facts.name.clone()), id: Some(facts.id.clone()), ..target.clone() };
        // Whoever may edit the instance may set the label.
        let mark = || Exemption { mark: format!("label {EXEMPT_LABEL}"), forgeable: true };
        let exempt = facts.exempt.then(mark).into_iter().collect();
        Ok(Identity { uid: facts.id.to_string(), target: named.into(), exempt, facts })
    }

    /// Asks on the instance about instances, on every disk about disks, and on the project about the rest, which
    /// does not exist yet. Writes nothing.
    async fn check(&self, api: &GceApi, target: &GceInstance, needs: &Permissions) -> Vec<Check> {
        let all = names(needs);
        let of = |prefix: &str| -> Vec<_> { all.iter().copied().filter(|name| name.starts_with(prefix)).collect() };
        let facts = match api.instance(target).await {
            Ok(facts) => facts,
            Err(error) => {
                let what = "compute.instances.get".to_owned();
                return vec![Check { what, ok: false, detail: error.to_string() }];
            }
        };
        let (instances, disks) = (of("compute.instances."), of("compute.disks."));
        let rest: Vec<_> =
            all.iter().copied().filter(|name| !instances.contains(name) && !disks.contains(name)).collect();

        let on_instance = api.held_on_instance(target, &facts.name, &instances).await;
        let mut lines = lines(&format!("instance {}", facts.name), &instances, &on_instance);
        let persistent: Vec<_> = facts
            .disks
            .iter()
            .filter_map(|disk| if let DiskKind::Persistent(disk) = &disk.disk { Some(disk) } else { None })
            .collect();
        let asked = if disks.is_empty() { &[] } else { persistent.as_slice() };
        let on_disks = join_all(asked.iter().map(|disk| api.held_on_disk(disk, &disks))).await;
        for (disk, held) in persistent.iter().zip(&on_disks) {
            lines.extend(self::lines(&format!("disk {}", disk.name), &disks, held));
        }
        // A snapshot is made in the project of its disk, a firewall rule in that of its network.
        let networks = facts.nics.iter().map(|nic| &nic.network.project);
        let projects: BTreeSet<_> = persistent.iter().map(|disk| &disk.project).chain(networks).collect();
        for project in projects {
            let held = home::held(&self.access, &api.clients.credentials, project, &rest).await;
            lines.extend(self::lines(&format!("project {project}"), &rest, &held));
        }
        lines
    }

    async fn check_scope(&self, scope: &Scope, needs: &Permissions) -> Vec<Check> {
        self.check_project(scope, needs).await
    }
}

impl Gcp {
    /// What we hold on a project holds for all that is in it.
    pub(crate) async fn check_project(&self, scope: &Scope, needs: &Permissions) -> Vec<Check> {
        let Scope::Project(project) = scope else { return Vec::new() };
        let names = names(needs);
        let held = match self.clients().await {
            Ok(clients) => home::held(&self.access, &clients.credentials, project, &names).await,
            Err(error) => Err(error),
        };
        lines(&format!("project {project}"), &names, &held)
    }
}

/// Each permission once.
pub(crate) fn names(needs: &Permissions) -> Vec<&'static str> {
    let all = needs.plan.iter().chain(needs.apply).chain(needs.revert);
    let names: BTreeSet<_> =
        all.filter_map(|one| if let Permission::Gcp(name) = one { Some(*name) } else { None }).collect();
    names.into_iter().collect()
}

pub(crate) fn lines(on: &str, asked: &[&str], held: &Result<Vec<String>>) -> Vec<Check> {
    let line = |name: &&str| {
        let (ok, detail) = match held {
            Ok(held) if held.iter().any(|one| one == name) => (true, "granted".to_owned()),
            Ok(_) => (false, format!("grant it to the identity that this runs as: {name}")),
            Err(error) => (false, format!("could not be asked: {error}")),
        };
        Check { what: format!("{name} on {on}"), ok, detail }
    };
    asked.iter().map(line).collect()
}
