//! Why cordon and taint: the real API server, asked as the node's own kubelet.

use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use stanch_core::{Kind, Slot, target::Cluster};

use super::{
    KubeSlot,
    bed::{Bed, DECLARED, Server, target},
    cases::{facts, mark},
};
use crate::{KubeApi, KubeState, Taint, Unschedulable};

pub(crate) async fn a_stolen_kubelet_uncordons_itself_but_keeps_its_taint(bed: &Bed) {
    let Server::Real(real) = &bed.server else { return };
    let node = bed.node(&json!({}));
    let (api, found) = facts(&bed.kube(DECLARED), &target(&node)).await;
    let cordon: KubeSlot = Unschedulable { node: found.object_ref() }.into();
    let taint: KubeSlot =
        Taint { node: found.object_ref(), key: "stanch.dev/quarantine".to_owned(), effect: "NoSchedule".to_owned() }
            .into();
    cordon.put(&None, &KubeState::flag(true), &mark(), &api).await.expect("cordoned");
    let seen = taint.look(&api, &mark()).await.expect("a look");
    taint.put(&seen.token, &KubeState::text(Some("")), &mark(), &api).await.expect("tainted");

    let mut config = Kubeconfig::read_from(real.kubeconfig()).expect("a kubeconfig");
    for user in &mut config.auth_infos {
        let user = user.auth_info.as_mut().expect("a user");
        user.impersonate = Some(format!("system:node:{}", node.name));
        user.impersonate_groups = Some(vec!["system:nodes".to_owned(), "system:authenticated".to_owned()]);
    }
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.expect("a config");
    let kubelet = KubeApi::new(kube::Client::try_from(config).expect("a client"), Cluster::Current, None);

    let seen = cordon.look(&kubelet, &mark()).await.expect("a look");
    cordon.put(&seen.token, &KubeState::flag(false), &mark(), &kubelet).await.expect("a kubelet uncordons itself");
    let seen = taint.look(&kubelet, &mark()).await.expect("a look");
    let error = taint.put(&seen.token, &KubeState::absent(), &mark(), &kubelet).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(error.message().contains("admission"), "{error}");
    assert_eq!(taint.look(&api, &mark()).await.expect("a look").state, KubeState::text(Some("")));
}
