//! Every responder, and what it says of itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's")]

use std::{collections::BTreeMap, fs};

use aws_contain_principal::AwsContainPrincipal;
use aws_detach_role::AwsDetachRole;
use aws_isolate_instance::AwsIsolateInstance;
use aws_mark_instance::AwsMarkInstance;
use aws_protect_instance::AwsProtectInstance;
use aws_release_instance::AwsReleaseInstance;
use aws_remove_public_ip::AwsRemovePublicIp;
use aws_snapshot_volumes::AwsSnapshotVolumes;
use aws_terminate_instance::AwsTerminateInstance;
use gcp_allow_bastion::GcpAllowBastion;
use gcp_contain_service_account::GcpContainServiceAccount;
use gcp_delete_instance::GcpDeleteInstance;
use gcp_detach_service_account::GcpDetachServiceAccount;
use gcp_isolate_instance::GcpIsolateInstance;
use gcp_mark_instance::GcpMarkInstance;
use gcp_protect_instance::GcpProtectInstance;
use gcp_release_instance::GcpReleaseInstance;
use gcp_remove_external_ip::GcpRemoveExternalIp;
use gcp_resize_group::GcpResizeGroup;
use gcp_snapshot_disks::GcpSnapshotDisks;
use k8s_confine_workload::K8sConfineWorkload;
use k8s_cordon_node::K8sCordonNode;
use k8s_delete_workload::K8sDeleteWorkload;
use k8s_drain_node::K8sDrainNode;
use k8s_enforce_policy::K8sEnforcePolicy;
use k8s_isolate_pod::K8sIsolatePod;
use k8s_locate::K8sLocate;
use k8s_mark::K8sMark;
use k8s_redeploy_pod::K8sRedeployPod;
use k8s_revoke_access::K8sRevokeAccess;
use k8s_rotate_service_account::K8sRotateServiceAccount;
use stanch_core::{Order, Permissions, Responder, TargetKind};
use stanch_signals::Context;

use crate::root;

/// What a responder says of itself.
pub struct Said {
    /// What it does.
    pub about: &'static str,
    /// What undo brings back.
    pub undo: &'static str,
    /// `event` or `order`.
    pub trigger: &'static str,
    /// The targets that it takes.
    pub kinds: &'static [&'static str],
    /// What it may do.
    pub needs: Permissions,
    /// No severity is too low for it.
    pub gentle: bool,
    /// The orders that its `event.json` leads to.
    pub orders: usize,
}

fn said<R: Responder>() -> (&'static str, Said) {
    let path = root().join("functions").join(R::NAME).join("event.json");
    let orders = fs::read(&path).map_or(0, |bytes| {
        let context = Context::new(Some("context:prod".parse().unwrap()), jiff::Timestamp::now());
        let alerts =
            stanch_signals::decode(&bytes, &context).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        alerts.iter().map(|alert| Order::from_alert::<R>(alert).len()).sum()
    });
    let trigger = match R::TRIGGER {
        stanch_core::Trigger::Event => "event",
        stanch_core::Trigger::Order => "order",
    };
    let (about, undo, kinds) = (R::ABOUT, R::UNDO, R::Target::KINDS);
    (R::NAME, Said { about, undo, trigger, kinds, needs: R::NEEDS, gentle: R::GENTLE, orders })
}

/// All of them, by name.
///
/// # Panics
/// When an `event.json` cannot be decoded.
pub fn responders() -> BTreeMap<&'static str, Said> {
    BTreeMap::from([
        said::<AwsContainPrincipal>(),
        said::<AwsDetachRole>(),
        said::<AwsIsolateInstance>(),
        said::<AwsMarkInstance>(),
        said::<AwsProtectInstance>(),
        said::<AwsReleaseInstance>(),
        said::<AwsRemovePublicIp>(),
        said::<AwsSnapshotVolumes>(),
        said::<AwsTerminateInstance>(),
        said::<GcpAllowBastion>(),
        said::<GcpContainServiceAccount>(),
        said::<GcpDeleteInstance>(),
        said::<GcpDetachServiceAccount>(),
        said::<GcpIsolateInstance>(),
        said::<GcpMarkInstance>(),
        said::<GcpProtectInstance>(),
        said::<GcpReleaseInstance>(),
        said::<GcpRemoveExternalIp>(),
        said::<GcpResizeGroup>(),
        said::<GcpSnapshotDisks>(),
        said::<K8sConfineWorkload>(),
        said::<K8sCordonNode>(),
        said::<K8sDeleteWorkload>(),
        said::<K8sDrainNode>(),
        said::<K8sEnforcePolicy>(),
        said::<K8sIsolatePod>(),
        said::<K8sLocate>(),
        said::<K8sMark>(),
        said::<K8sRedeployPod>(),
        said::<K8sRevokeAccess>(),
        said::<K8sRotateServiceAccount>(),
    ])
}
