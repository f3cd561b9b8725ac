//! The Kubernetes wing: nodes and pods, and the places that can be written.
//!
//! [`Kube`] finds the cluster that a target names and keeps one client for it; [`KubeApi`] looks; a slot type
//! per responder, such as [`CordonSlot`], writes, one field at a time, on the condition that the object
//! (its UID) and the field are what was seen.
//!
//! # Which cluster
//! A target names its cluster. `eks:…` is reached by `DescribeCluster` and a token of AWS STS, `gke:…` by the GKE
//! API and an access token, `context:NAME` by that context of the kubeconfig, `context:` by its current context
//! or, without a kubeconfig, from inside the cluster. **A context whose name is the cluster's whole text, e.g.
//! `eks:123456789012/eu-central-1/prod`, wins over the cloud's way in**: so a cluster that is only reached through
//! a bastion, or a stand-in for tests, keeps the name that its alerts use. A package for Lambda (built without `server`)
//! knows the way of EKS alone.
//!
//! | variable | meaning |
//! |---|---|
//! | `STANCH_CLUSTER` | the cluster that we run in, as text: the scope where no guard gives one. Default `context:` |
//! | `KUBECONFIG` | as for `kubectl` |

mod access;
mod agents;
mod api;
mod bindings;
mod command;
mod cordon;
mod dial;
mod discovery;
#[cfg(feature = "server")]
mod elsewhere;
mod error;
mod facts;
mod gitops;
mod identify;
mod image;
#[cfg(feature = "server")]
mod kubeconfig;
mod labels;
mod list;
mod lodgers;
mod makers;
mod object;
mod outlook;
mod own;
mod patch;
mod pods;
mod removal;
mod selector;
mod slot;
mod target;
#[cfg(test)]
mod tests;
mod traffic;
mod users;
mod wire;
mod workload;

pub use access::Kube;
pub use agents::{PolicyAgent, PolicyAgents, UNENFORCED};
pub use api::{FIELD_MANAGER, KubeApi, PodOnNode};
pub use bindings::{Binding, BindingRef};
pub use command::{Machine, next_order};
pub use cordon::{QUARANTINE, cordon};
pub use facts::{EXEMPT_NAMESPACE, EXEMPT_NODE, NodeFacts, Taint as NodeTaint};
pub use gitops::managed_by;
pub use identify::{
    AccountFacts, AccountNamed, GranteeFacts, KubeTarget, NamespaceFacts, PodFound, PodsFacts, Spared, WorkloadNamed,
};
pub use image::ImageName;
pub use labels::{ISOLATE, checked_annotations, checked_labels, checked_node_labels, marked};
pub use list::List;
pub use lodgers::{Budget, Lodger};
pub use makers::Maker;
pub use object::{ObjectRef, Resource};
pub use pods::{Container, Owner, PodFacts, Role, owner_of};
pub use removal::How;
pub use selector::Selector;
pub use slot::{
    AccessSlot, AccountSlot, Annotation, Compare, CordonSlot, DrainSlot, Exclusion, Fields, IsolationSlot, KubeState,
    KubeToken, Label, MARKS, MarkSlot, Marks, NoSlot, Object, PolicySlot, Propagation, Removal, RemovalSlot, Renewal,
    Restart, Retain, Subjects, Taint, TemplateSlot, Unschedulable, Who, WorkloadSlot, manifest_of, marks,
};
pub use target::{
    AccountByName, AccountOf, Grantee, Locate, NamespaceOf, PodOrGone, PodsOf, WorkloadByName, WorkloadOf,
};
pub use users::RunsAs;
pub use workload::{WorkloadFacts, rollout, selector_of};
