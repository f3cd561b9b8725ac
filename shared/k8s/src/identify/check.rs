//! Whether we may act here, without acting.

use stanch_core::{Check, Permission, Permissions, Target, target::Cluster};

use super::KubeTarget;
use crate::KubeApi;

pub(super) async fn all<T: KubeTarget>(api: &KubeApi, target: &T, needs: &Permissions) -> Vec<Check> {
    let mut checks = vec![check_target(api, target).await];
    checks.extend(permissions(api, needs).await);
    checks
}

pub(super) async fn permissions(api: &KubeApi, needs: &Permissions) -> Vec<Check> {
    let mut checks = Vec::new();
    let parts = [("plan", needs.plan), ("apply", needs.apply), ("revert", needs.revert)];
    let mut asked: Vec<(&str, &str, &str)> = Vec::new();
    for (part, permissions) in parts {
        for permission in permissions {
            let Permission::Kube { group, resource, verbs } = *permission else { continue };
            for &verb in verbs {
                if !asked.contains(&(verb, group, resource)) {
                    asked.push((verb, group, resource));
                    checks.push(check_permission(api, part, (verb, group, resource)).await);
                }
            }
        }
    }
    checks
}

async fn check_target<T: KubeTarget>(api: &KubeApi, target: &T) -> Check {
    let named: Target = target.clone().into();
    let what = format!("find {named}");
    match target.identify(api).await {
        Ok(found) => Check { what, ok: true, detail: format!("{}, uid {}", found.target, found.uid) },
        Err(error) => Check { what, ok: false, detail: error.to_string() },
    }
}

async fn check_permission(api: &KubeApi, part: &str, (verb, group, resource): (&str, &str, &str)) -> Check {
    let dot = if group.is_empty() { "" } else { "." };
    let what = format!("{part}: {verb} {resource}{dot}{group}");
    match api.may(verb, group, resource).await {
        Ok(true) => Check { what, ok: true, detail: "allowed".to_owned() },
        Ok(false) => Check { what, ok: false, detail: format!("missing in cluster {}", name_of(api.cluster())) },
        Err(error) => Check { what, ok: false, detail: error.to_string() },
    }
}

fn name_of(cluster: &Cluster) -> String {
    match cluster {
        Cluster::Current => "of the current context".to_owned(),
        named => named.to_string(),
    }
}
