//! What `check` says of a project is what the project grants.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use stanch_core::{Cloud, Permission, Permissions, Scope, target::GceInstance};
use stanch_gcp::Gcp;
use stanch_range::gce::Gce;

const NEEDS: Permissions = Permissions {
    plan: &[Permission::Gcp("compute.instances.get")],
    apply: &[Permission::Gcp("compute.instances.setLabels"), Permission::Gcp("compute.instances.get")],
    revert: &[],
};

#[tokio::test]
async fn a_scope_is_green_where_its_project_grants_everything() {
    let gce = Gce::start().unwrap();
    gce.allow("all", &["compute.instances.get", "compute.instances.setLabels"]);
    gce.allow("looks", &["compute.instances.get"]);
    let project = Scope::Project("acme-prod".parse().unwrap());
    for (token, wanted) in [("all", [true, true]), ("looks", [true, false]), ("nobody", [false, false])] {
        let cloud = Gcp::at(&gce.endpoint(), Some(token)).unwrap();
        let checks = Cloud::<GceInstance>::check_scope(&cloud, &project, &NEEDS).await;
        assert_eq!(checks.iter().map(|check| check.ok).collect::<Vec<_>>(), wanted, "{token}: {checks:?}");
        assert!(checks.iter().all(|check| check.what.ends_with("on project acme-prod")), "{checks:?}");
    }
    assert!(gce.log().iter().all(|call| !call.write), "a check wrote");
    let cloud = Gcp::at(&gce.endpoint(), Some("all")).unwrap();
    let elsewhere = Scope::Account("123456789012".parse().unwrap());
    assert_eq!(Cloud::<GceInstance>::check_scope(&cloud, &elsewhere, &NEEDS).await, []);
}
