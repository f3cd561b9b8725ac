//! A target from flags, with the names that an order uses.

use clap::Args as Group;
use serde_json::{Map, Value};
use stanch_core::{
    Error, Responder, Result, Target, TargetKind,
    names::{
        AccessKeyId, AccountId, IamName, IamUniqueId, ImageRef, KubeUid, Namespace, ProjectId, Region,
        ServiceAccountEmail, WorkloadKind, Zone,
    },
    target::Cluster,
};

/// Every target flag there is; a responder shows those of its own kinds.
#[derive(Clone, Debug, Default, Group)]
#[group(id = "target", multiple = true)]
pub(super) struct TargetFlags {
    /// The target as in an order: `{"kind":"…",…}`.
    #[arg(long = "target", id = "target_json", value_name = "JSON", conflicts_with_all = FLAGS)]
    json: Option<String>,
    /// What the target is, where a responder takes several kinds.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// The AWS account, 12 digits.
    #[arg(long)]
    account: Option<AccountId>,
    /// The AWS region.
    #[arg(long)]
    region: Option<Region>,
    /// The Google Cloud project.
    #[arg(long)]
    project: Option<ProjectId>,
    /// The zone.
    #[arg(long)]
    zone: Option<Zone>,
    /// eks:ACCOUNT/REGION/NAME, gke:PROJECT/LOCATION/NAME, context:NAME, or context: for the current one. If absent,
    /// `STANCH_CLUSTER`, or the current one.
    #[arg(long)]
    cluster: Option<Cluster>,
    /// The namespace.
    #[arg(long, short)]
    namespace: Option<Namespace>,
    /// The kind of workload, e.g. Deployment.
    #[arg(long, value_name = "KIND")]
    workload_kind: Option<WorkloadKind>,
    /// The name.
    #[arg(long)]
    name: Option<String>,
    /// The provider's id.
    #[arg(long)]
    id: Option<String>,
    /// The UID, so that a successor of the same name is not taken for it.
    #[arg(long)]
    uid: Option<KubeUid>,
    /// The service account's e-mail address.
    #[arg(long)]
    email: Option<ServiceAccountEmail>,
    /// The IAM or Kubernetes user.
    #[arg(long)]
    user: Option<String>,
    /// The Kubernetes group.
    #[arg(long)]
    group: Option<String>,
    /// The IAM role.
    #[arg(long)]
    role: Option<IamName>,
    /// The access key's id.
    #[arg(long)]
    access_key: Option<AccessKeyId>,
    /// The IAM principal's unique id.
    #[arg(long)]
    unique_id: Option<IamUniqueId>,
    /// The image.
    #[arg(long)]
    image: Option<ImageRef>,
}

/// Their ids.
const FLAGS: [&str; 18] = [
    "kind",
    "account",
    "region",
    "project",
    "zone",
    "cluster",
    "namespace",
    "workload_kind",
    "name",
    "id",
    "uid",
    "email",
    "user",
    "group",
    "role",
    "access_key",
    "unique_id",
    "image",
];

/// The fields of a kind, as an order spells them.
fn fields(kind: &str) -> &'static [&'static str] {
    match kind {
        "ec2-instance" => &["account", "region", "id"],
        "iam-principal" => &["account", "user", "role", "access_key", "unique_id"],
        "gce-instance" => &["project", "zone", "name", "id"],
        "gcp-service-account" => &["project", "email"],
        "node" => &["cluster", "name", "uid"],
        "pod" => &["cluster", "namespace", "name", "uid"],
        "workload" => &["cluster", "namespace", "workload_kind", "name"],
        "service-account" => &["cluster", "namespace", "name"],
        "kube-subject" => &["cluster", "user", "group"],
        "image" => &["cluster", "image"],
        "namespace" => &["cluster", "name"],
        _ => &[],
    }
}

/// Hides the flags that are no field of these kinds.
pub(super) fn only_flags_of(kinds: &'static [&'static str], command: clap::Command) -> clap::Command {
    let is_ours = |flag: &str| {
        if flag == "kind" { kinds.len() > 1 } else { kinds.iter().any(|kind| fields(kind).contains(&flag)) }
    };
    ["plan", "apply", "revert", "check"].into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            FLAGS
                .into_iter()
                .filter(|flag| !is_ours(flag))
                .fold(command, |command, flag| command.mut_arg(flag, |argument| argument.hide(true)))
        })
    })
}

impl TargetFlags {
    /// The target; `None` when no flag names one.
    ///
    /// # Errors
    /// [`stanch_core::Kind::Invalid`], naming the flag.
    pub(super) fn target<R: Responder>(&self, cluster: Option<&Cluster>) -> Result<Option<Target>> {
        if let Some(json) = &self.json {
            let target = serde_json::from_str(json).map_err(|error| Error::invalid("--target", error.to_string()))?;
            return taken::<R>(target).map(Some);
        }
        let mut given = self.given();
        if given.is_empty() && self.kind.is_none() {
            return Ok(None);
        }
        let kind = self.kind_of::<R>(&given)?;
        if let Some(flag) = given.keys().find(|flag| !fields(kind).contains(&flag.as_str())) {
            let flag = flag.replace('_', "-");
            return Err(Error::invalid(format!("--{flag}"), format!("is not for a target of kind {kind}")));
        }
        if fields(kind).contains(&"cluster") && !given.contains_key("cluster") {
            let cluster = cluster.cloned().unwrap_or(Cluster::Current);
            given.insert("cluster".to_owned(), value(&cluster));
        }
        given.insert("kind".to_owned(), kind.into());
        // A missing field is named by serde, a malformed id or name by its rule.
        let target = serde_json::from_value(Value::Object(given)).map_err(|error| {
            let needs: Vec<_> = fields(kind).iter().map(|field| format!("--{}", field.replace('_', "-"))).collect();
            Error::invalid("target", format!("{error}; {kind} takes {}", needs.join(", ")))
        })?;
        taken::<R>(target).map(Some)
    }

    fn kind_of<R: Responder>(&self, given: &Map<String, Value>) -> Result<&'static str> {
        let kinds = R::Target::KINDS;
        let kind = match &self.kind {
            Some(asked) => kinds.iter().find(|kind| *kind == asked),
            // The first kind that has a place for everything that is given.
            None => kinds.iter().find(|kind| given.keys().all(|flag| fields(kind).contains(&flag.as_str()))),
        };
        kind.or_else(|| kinds.first().filter(|_| self.kind.is_none()))
            .copied()
            .ok_or_else(|| Error::invalid("--kind", format!("must be {}", kinds.join(" or "))))
    }

    fn given(&self) -> Map<String, Value> {
        let text = |it: &Option<String>| it.as_ref().map(|text| Value::String(text.clone()));
        [
            ("account", self.account.as_ref().map(value)),
            ("region", self.region.as_ref().map(value)),
            ("project", self.project.as_ref().map(value)),
            ("zone", self.zone.as_ref().map(value)),
            ("cluster", self.cluster.as_ref().map(value)),
            ("namespace", self.namespace.as_ref().map(value)),
            ("workload_kind", self.workload_kind.as_ref().map(value)),
            ("name", text(&self.name)),
            ("id", text(&self.id)),
            ("uid", self.uid.as_ref().map(value)),
            ("email", self.email.as_ref().map(value)),
            ("user", text(&self.user)),
            ("group", text(&self.group)),
            ("role", self.role.as_ref().map(value)),
            ("access_key", self.access_key.as_ref().map(value)),
            ("unique_id", self.unique_id.as_ref().map(value)),
            ("image", self.image.as_ref().map(value)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}

fn value(it: &impl serde::Serialize) -> Value {
    serde_json::to_value(it).unwrap_or(Value::Null)
}

/// The target, if the responder takes its kind.
fn taken<R: Responder>(target: Target) -> Result<Target> {
    match R::Target::of(&target) {
        Some(_) => Ok(target),
        None => Err(Error::invalid("target.kind", format!("must be {}", R::Target::KINDS.join(" or ")))),
    }
}
