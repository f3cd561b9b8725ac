//! What an alert names and what a responder acts on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    names::{
        AccessKeyId, AccountId, ContextName, EksName, GceId, GceName, GkeName, IamName, IamUniqueId, ImageRef,
        InstanceId, KubeName, KubeUid, Location, Namespace, ProjectId, Region, ServiceAccountEmail, SubjectName,
        WorkloadKind, Zone,
    },
};

/// A resource, by the names that its cloud knows it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Target {
    /// An EC2 instance.
    Ec2Instance(Ec2Instance),
    /// An IAM user, role or access key.
    IamPrincipal(IamPrincipal),
    /// A Compute Engine instance.
    GceInstance(GceInstance),
    /// A Google service account.
    GcpServiceAccount(GcpServiceAccount),
    /// A Kubernetes node.
    Node(Node),
    /// A Kubernetes pod.
    Pod(Pod),
    /// What owns pods: a Deployment, a `DaemonSet` …
    Workload(Workload),
    /// A Kubernetes service account.
    ServiceAccount(ServiceAccount),
    /// A Kubernetes user or group.
    KubeSubject(KubeSubject),
    /// A Kubernetes namespace.
    Namespace(KubeNamespace),
    /// A container image.
    Image(Image),
}

/// An EC2 instance. Its id is never used twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ec2Instance {
    /// The account that owns it.
    pub account: AccountId,
    /// The region that it runs in.
    pub region: Region,
    /// `i-…`
    pub id: InstanceId,
}

/// An IAM identity. GuardDuty gives names, not ARNs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IamPrincipal {
    /// The account that it belongs to.
    pub account: AccountId,
    /// Which of the three it is.
    #[serde(flatten)]
    pub who: IamWho,
    /// `AROA…` or `AIDA…`: a name can be given away again, this cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_id: Option<IamUniqueId>,
}

/// The kind and name of an IAM identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IamWho {
    /// A user, by name.
    User(IamName),
    /// A role, by name.
    Role(IamName),
    /// An access key, by id.
    AccessKey(AccessKeyId),
}

/// A Compute Engine instance, by name or numeric id, or both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GceInstance {
    /// The project that owns it.
    pub project: ProjectId,
    /// The zone that it runs in.
    pub zone: Zone,
    /// Its name, which a managed group gives to a successor as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<GceName>,
    /// Its numeric id, which is never used twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<GceId>,
}

/// A Google service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GcpServiceAccount {
    /// The project that owns it.
    pub project: ProjectId,
    /// Its e-mail address.
    pub email: ServiceAccountEmail,
}

/// A Kubernetes node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The cluster that it is in.
    pub cluster: Cluster,
    /// Its name.
    pub name: KubeName,
    /// Its UID, where the alert or the person knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<KubeUid>,
}

/// A Kubernetes pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pod {
    /// The cluster that it is in.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: KubeName,
    /// Its UID: a `StatefulSet` makes a new pod under the old name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<KubeUid>,
    /// The host that the detector reports from, where no UID is known. Another cluster has pods of the same name, but
    /// not this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<KubeName>,
}

/// A Kubernetes workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The cluster that it is in.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its kind, as the detector spells it.
    pub workload_kind: WorkloadKind,
    /// Its name.
    pub name: KubeName,
}

/// A Kubernetes service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccount {
    /// The cluster that it is in.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: KubeName,
}

/// A Kubernetes user or group: a name that the API server gets from a certificate, a token or a webhook. There is no
/// object behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubeSubject {
    /// The cluster that knows it.
    pub cluster: Cluster,
    /// Which of the two it is.
    #[serde(flatten)]
    pub who: KubeWho,
}

/// The kind and name of a Kubernetes subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KubeWho {
    /// A user.
    User(SubjectName),
    /// A group.
    Group(SubjectName),
}

/// A Kubernetes namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubeNamespace {
    /// The cluster that it is in.
    pub cluster: Cluster,
    /// Its name.
    pub name: Namespace,
}

/// A container image that runs in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The cluster that it runs in.
    pub cluster: Cluster,
    /// Its reference, by tag or digest.
    pub image: ImageRef,
}

/// A Kubernetes cluster, and how to reach it.
///
/// As text (`STANCH_CLUSTER`, the guard, the ledger): `eks:ACCOUNT/REGION/NAME`, `gke:PROJECT/LOCATION/NAME`,
/// `context:NAME`, or `context:` alone for the current context, in-cluster included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cluster {
    /// Amazon EKS.
    Eks {
        /// The account that owns it.
        account: AccountId,
        /// Its region.
        region: Region,
        /// Its name.
        name: EksName,
    },
    /// Google Kubernetes Engine.
    Gke {
        /// The project that owns it.
        project: ProjectId,
        /// Its region or zone.
        location: Location,
        /// Its name.
        name: GkeName,
    },
    /// A context of the kubeconfig.
    Context(ContextName),
    /// The current context of the kubeconfig, or the cluster that the function itself runs in.
    Current,
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eks { account, region, name } => write!(f, "eks:{account}/{region}/{name}"),
            Self::Gke { project, location, name } => write!(f, "gke:{project}/{location}/{name}"),
            Self::Context(name) => write!(f, "context:{name}"),
            Self::Current => f.write_str("context:"),
        }
    }
}

impl FromStr for Cluster {
    type Err = Error;

    /// # Errors
    /// [`crate::Kind::Invalid`] when the text has none of the three forms, or a part of it is not a name.
    fn from_str(text: &str) -> Result<Self> {
        let form =
            || Error::invalid("cluster", "must be eks:ACCOUNT/REGION/NAME, gke:PROJECT/LOCATION/NAME or context:NAME");
        let (kind, rest) = text.split_once(':').ok_or_else(form)?;
        if kind == "context" {
            return if rest.is_empty() { Ok(Self::Current) } else { Ok(Self::Context(rest.parse()?)) };
        }
        let mut parts = rest.split('/');
        let (Some(owner), Some(place), Some(name), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form());
        };
        let within = |error: Error| error.within("cluster");
        match kind {
            "eks" => Ok(Self::Eks {
                account: owner.parse().map_err(within)?,
                region: place.parse().map_err(within)?,
                name: name.parse().map_err(within)?,
            }),
            "gke" => Ok(Self::Gke {
                project: owner.parse().map_err(within)?,
                location: place.parse().map_err(within)?,
                name: name.parse().map_err(within)?,
            }),
            _ => Err(form()),
        }
    }
}

/// Where a target lives: what the guard's scope and limits are about.
///
/// As text: `aws:ACCOUNT`, `gcp:PROJECT`, or a [`Cluster`]'s text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// An AWS account.
    Account(AccountId),
    /// A Google Cloud project.
    Project(ProjectId),
    /// A Kubernetes cluster.
    Cluster(Cluster),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => write!(f, "aws:{account}"),
            Self::Project(project) => write!(f, "gcp:{project}"),
            Self::Cluster(cluster) => cluster.fmt(f),
        }
    }
}

impl Target {
    /// Where it lives.
    pub fn scope(&self) -> Scope {
        match self {
            Self::Ec2Instance(it) => Scope::Account(it.account.clone()),
            Self::IamPrincipal(it) => Scope::Account(it.account.clone()),
            Self::GceInstance(it) => Scope::Project(it.project.clone()),
            Self::GcpServiceAccount(it) => Scope::Project(it.project.clone()),
            Self::Node(Node { cluster, .. })
            | Self::Pod(Pod { cluster, .. })
            | Self::Workload(Workload { cluster, .. })
            | Self::ServiceAccount(ServiceAccount { cluster, .. })
            | Self::KubeSubject(KubeSubject { cluster, .. })
            | Self::Namespace(KubeNamespace { cluster, .. })
            | Self::Image(Image { cluster, .. }) => Scope::Cluster(cluster.clone()),
        }
    }

    /// The namespace of a Kubernetes target that is in one, or is one.
    pub fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Pod(Pod { namespace, .. })
            | Self::Workload(Workload { namespace, .. })
            | Self::ServiceAccount(ServiceAccount { namespace, .. })
            | Self::Namespace(KubeNamespace { name: namespace, .. }) => Some(namespace),
            _ => None,
        }
    }
}

/// What a person calls it; also what the guard's `exempt` list is compared with: `i-0123456789abcdef0`,
/// `node/NAME`, `pod/NAMESPACE/NAME` …
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ec2Instance(it) => it.id.fmt(f),
            Self::IamPrincipal(it) => match &it.who {
                IamWho::User(name) => write!(f, "user/{name}"),
                IamWho::Role(name) => write!(f, "role/{name}"),
                IamWho::AccessKey(id) => write!(f, "access-key/{id}"),
            },
            Self::GceInstance(it) => match (&it.name, &it.id) {
                (Some(name), _) => write!(f, "instance/{}/{name}", it.zone),
                (None, Some(id)) => write!(f, "instance/{}/{id}", it.zone),
                (None, None) => write!(f, "instance/{}/", it.zone),
            },
            Self::GcpServiceAccount(it) => it.email.fmt(f),
            Self::Node(it) => write!(f, "node/{}", it.name),
            Self::Pod(it) => write!(f, "pod/{}/{}", it.namespace, it.name),
            Self::Workload(it) => write!(f, "{}/{}/{}", it.workload_kind, it.namespace, it.name),
            Self::ServiceAccount(it) => write!(f, "serviceaccount/{}/{}", it.namespace, it.name),
            Self::KubeSubject(it) => match &it.who {
                KubeWho::User(name) => write!(f, "kube-user/{name}"),
                KubeWho::Group(name) => write!(f, "kube-group/{name}"),
            },
            Self::Namespace(it) => write!(f, "namespace/{}", it.name),
            Self::Image(it) => write!(f, "image/{}", it.image),
        }
    }
}

/// A kind of target that responders can take.
pub trait TargetKind: Clone + fmt::Debug + Into<Target> + Send + Sync + 'static {
    /// The kinds, as an order spells them.
    const KINDS: &'static [&'static str];

    /// This target, if it is of one of these kinds.
    fn of(target: &Target) -> Option<Self>;
}

macro_rules! target_kinds {
    ($($Kind:ident = $name:literal),+ $(,)?) => {$(
        impl From<$Kind> for Target {
            fn from(target: $Kind) -> Self {
                Self::$Kind(target)
            }
        }
        impl TargetKind for $Kind {
            const KINDS: &'static [&'static str] = &[$name];
            fn of(target: &Target) -> Option<Self> {
                match target {
                    Target::$Kind(it) => Some(it.clone()),
                    _ => None,
                }
            }
        }
    )+};
}

target_kinds! {
    Ec2Instance = "ec2-instance", IamPrincipal = "iam-principal", GceInstance = "gce-instance",
    GcpServiceAccount = "gcp-service-account", Node = "node", Pod = "pod", Workload = "workload",
    ServiceAccount = "service-account", Image = "image", KubeSubject = "kube-subject",
}

impl From<KubeNamespace> for Target {
    fn from(target: KubeNamespace) -> Self {
        Self::Namespace(target)
    }
}

/// A node, or a pod that stands for the node that it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeOrPod {
    /// The node itself.
    Node(Node),
    /// A pod on it.
    Pod(Pod),
}

impl From<NodeOrPod> for Target {
    fn from(target: NodeOrPod) -> Self {
        match target {
            NodeOrPod::Node(node) => node.into(),
            NodeOrPod::Pod(pod) => pod.into(),
        }
    }
}

impl TargetKind for NodeOrPod {
    const KINDS: &'static [&'static str] = &["node", "pod"];
    fn of(target: &Target) -> Option<Self> {
        match target {
            Target::Node(node) => Some(Self::Node(node.clone())),
            Target::Pod(pod) => Some(Self::Pod(pod.clone())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_spells_a_target_as_documented() {
        let json =
            r#"{"kind":"ec2-instance","account":"123456789012","region":"eu-central-1","id":"i-0123456789abcdef0"}"#;
        let target: Target = serde_json::from_str(json).expect("documented form");
        assert_eq!(target.to_string(), "i-0123456789abcdef0");
        assert_eq!(serde_json::to_string(&target).expect("serializes"), json);

        let json = r#"{"kind":"pod","cluster":{"eks":{"account":"123456789012","region":"eu-central-1","name":"prod"}},"namespace":"web","name":"web-1"}"#;
        let target: Target = serde_json::from_str(json).expect("documented form");
        assert_eq!(serde_json::to_string(&target).expect("serializes"), json);

        let json = r#"{"kind":"iam-principal","account":"123456789012","role":"ci"}"#;
        let target: Target = serde_json::from_str(json).expect("documented form");
        assert_eq!(target.to_string(), "role/ci");
    }

    #[test]
    fn a_cluster_reads_back_from_its_text() {
        for text in
            ["eks:123456789012/eu-central-1/prod", "gke:my-project/europe-west1/prod", "context:kind-a", "context:"]
        {
            assert_eq!(text.parse::<Cluster>().expect(text).to_string(), text);
        }
        for text in ["", "prod", "eks:1/2", "eks:123456789012/eu-central-1/prod/x", "aks:a/b/c"] {
            assert!(text.parse::<Cluster>().is_err(), "{text:?} is accepted");
        }
    }
}
