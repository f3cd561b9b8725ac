//! Every responder that runs on Lambda in one program, which is whichever its name says: what `functions/*/src/main.rs` say
//! of each, linked once instead of twenty times.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use aws_contain_principal::AwsContainPrincipal;
use aws_detach_role::AwsDetachRole;
use aws_isolate_instance::AwsIsolateInstance;
use aws_mark_instance::AwsMarkInstance;
use aws_protect_instance::AwsProtectInstance;
use aws_release_instance::AwsReleaseInstance;
use aws_remove_public_ip::AwsRemovePublicIp;
use aws_snapshot_volumes::AwsSnapshotVolumes;
use aws_terminate_instance::AwsTerminateInstance;
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
use stanch_core::Responder;
use stanch_dynamodb::Dynamo;
use stanch_runtime::Binary;

fn main() -> ExitCode {
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    let called = called.file_name().map(OsString::from).unwrap_or_default();
    let known = [
        responder::<AwsContainPrincipal>(),
        responder::<AwsDetachRole>(),
        responder::<AwsIsolateInstance>(),
        responder::<AwsMarkInstance>(),
        responder::<AwsProtectInstance>(),
        responder::<AwsReleaseInstance>(),
        responder::<AwsRemovePublicIp>(),
        responder::<AwsSnapshotVolumes>(),
        responder::<AwsTerminateInstance>(),
        responder::<K8sConfineWorkload>(),
        responder::<K8sCordonNode>(),
        responder::<K8sDeleteWorkload>(),
        responder::<K8sDrainNode>(),
        responder::<K8sEnforcePolicy>(),
        responder::<K8sIsolatePod>(),
        responder::<K8sLocate>(),
        responder::<K8sMark>(),
        responder::<K8sRedeployPod>(),
        responder::<K8sRevokeAccess>(),
        responder::<K8sRotateServiceAccount>(),
    ];
    known.into_iter().find(|(name, _)| called == **name).map_or(ExitCode::from(2), |(_, run)| run())
}

fn responder<R: Responder>() -> (&'static str, fn() -> ExitCode) {
    (R::NAME, run::<R>)
}

fn run<R: Responder>() -> ExitCode {
    let binary = Binary::<R>::new().store("dynamodb", |table| async {
        let store = Dynamo::with_config(table, stanch_aws::shared_config().await);
        store.warm().await;
        Ok(store)
    });
    binary.lambda().run()
}
