//! That a responder declares what it needs and nothing more.

use std::sync::Arc;

use serde_json::Value;
use stanch_core::{Kind, Mode, Report, Responder, Status, Target};
use stanch_k8s::{Kube, KubeTarget};

use super::{Cluster, Right, declared};
use crate::memory::Memory;

/// A scene: the rights that it is for, as `get jobs` (none: whatever no other scene is for), and how to make a fresh
/// target with its options.
pub type Scene<'a> = (&'a [&'a str], &'a dyn Fn(&Cluster) -> (Target, Value));

/// Takes each declared right away in turn: applied with the rest, or applied with all and reverted with the rest, a
/// report must name the right that is missing, as [`Kind::Denied`] or, where containment does not wait for it, among
/// what remains. Nobody is granted anything on Secrets.
pub async fn least_privilege<R>(cluster: &Cluster, scenes: &[Scene<'_>])
where
    R: Responder<Cloud = Kube, Target: KubeTarget>,
{
    least_privilege_of::<R>(cluster, |cluster, right| Some(scene_for(scenes, right)(cluster))).await;
}

/// The scene that a right is for.
pub fn scene_for<'a>(scenes: &[Scene<'a>], (verb, group, resource): Right) -> &'a dyn Fn(&Cluster) -> (Target, Value) {
    // With its group, where two groups have a resource of that name.
    let (right, full) = (format!("{verb} {resource}"), format!("{verb} {resource}.{group}"));
    let find = |name: &str| scenes.iter().find(|(rights, _)| rights.contains(&name));
    let scene = find(&full).or_else(|| find(&right)).or_else(|| scenes.iter().find(|(rights, _)| rights.is_empty()));
    scene.expect("a scene").1
}

/// The same for a responder whose rights are for different scenes: each is told the right that it is to need. `None`:
/// there is no such scene on this cluster.
pub async fn least_privilege_of<R>(cluster: &Cluster, scene: impl Fn(&Cluster, Right) -> Option<(Target, Value)>)
where
    R: Responder<Cloud = Kube, Target: KubeTarget>,
{
    let all = declared::<R>();
    for &right in &all {
        let (verb, group, resource) = right;
        assert!(!resource.contains("secret") && !resource.contains('*') && verb != "*", "{verb} {resource}");
        let rest: Vec<_> = all.iter().copied().filter(|right| *right != (verb, group, resource)).collect();
        let dot = if group.is_empty() { "" } else { "." };
        // Of a subresource the group stands behind it, as in `explain`.
        let name = format!("missing permission: {verb} {resource}{dot}{group}");
        let names = |report: &Report| {
            let said = format!("{:?} {:?} {:?}", report.reason, report.changes, report.remaining);
            said.match_indices(&name).any(|(at, _)| {
                // `get pods` is not `get pods/eviction`.
                !said[at + name.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || "./-".contains(c))
            })
        };

        let Some((target, options)) = scene(cluster, right) else { continue };
        let report =
            cluster.ward_of::<R>(&rest, Arc::new(Memory::default())).run(Mode::Apply, &target, options.clone()).await;
        if names(&report) {
            let denied = report.error == Some(Kind::Denied);
            assert!(denied || matches!(report.status, Status::Applied | Status::Already), "{name}: {report:#?}");
            continue;
        }
        let Some((target, options)) = scene(cluster, right) else { continue };
        let ward = cluster.ward_of::<R>(&all, Arc::new(Memory::default()));
        let report = ward.run(Mode::Apply, &target, options.clone()).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        let back = cluster.ward_of::<R>(&rest, ward.ledger()).run(Mode::Revert, &target, options).await;
        assert!(names(&back), "{name}: it is not needed, or not named: {back:#?}");
        assert_eq!(back.error, Some(Kind::Denied), "{name}: {back:#?}");
    }
}
