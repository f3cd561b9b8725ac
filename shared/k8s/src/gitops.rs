//! Who else writes an object: a change of ours that they would take back is reported, not made.

use serde_json::Value;

use crate::facts::strings;

/// The tool that keeps an object as a repository has it, by the marks that it documents: Argo CD ("Resource
/// Tracking"), Flux (Kustomization, `HelmRelease`), Config Sync, Rancher Fleet. Helm alone does not come back by
/// itself.
pub fn managed_by(object: &Value) -> Option<&'static str> {
    let labels = strings(object, "/metadata/labels");
    let annotations = strings(object, "/metadata/annotations");
    let has = |key: &str| labels.contains_key(key) || annotations.contains_key(key);
    [
        ("Argo CD", "argocd.argoproj.io/tracking-id"),
        ("Argo CD", "argocd.argoproj.io/instance"),
        ("Flux", "kustomize.toolkit.fluxcd.io/name"),
        ("Flux", "helm.toolkit.fluxcd.io/name"),
        ("Config Sync", "configsync.gke.io/resource-id"),
        ("Config Sync", "configmanagement.gke.io/managed"),
        ("Fleet", "objectset.rio.cattle.io/id"),
    ]
    .into_iter()
    .find(|(_, mark)| has(mark))
    .map(|(tool, _)| tool)
}
