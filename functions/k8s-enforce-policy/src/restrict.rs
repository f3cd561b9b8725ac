//! No pod is privileged.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};
use stanch_core::{Change, Error, Kind, Plan, Result};
use stanch_k8s::{Compare, KubeApi, KubeState, Label, List, NamespaceFacts, PolicySlot, Resource};

use crate::{ADMISSION, How, Options, Ours, only, said};

/// Kubernetes: "Pod Security Admission".
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const RESTRICTED: &str = "restricted";

pub(crate) async fn plan(
    ours: &mut Ours<'_>,
    namespace: &NamespaceFacts,
    options: &Options,
) -> Result<Plan<PolicySlot>> {
    match options.how {
        How::Label => label(ours.api, namespace, options).await,
        How::Mutate => mutate(ours, namespace).await,
    }
}

async fn label(api: &KubeApi, namespace: &NamespaceFacts, options: &Options) -> Result<Plan<PolicySlot>> {
    let before =
        namespace.value.pointer("/metadata/labels").and_then(|labels| labels.get(ENFORCE)).and_then(Value::as_str);
    let mut left = Vec::new();
    if before != Some(RESTRICTED) {
        let warnings = api.label_warnings(&namespace.object, ENFORCE, RESTRICTED).await?;
        let refused = |message: String| Err(Error::refused(message).on(format!("namespace/{}", namespace.name())));
        if !warnings.is_empty() && !options.force {
            return refused(format!(
                "pods that run now would be refused at their next start; set force to accept that. The server says: {}",
                warnings.join("; ")
            ));
        }
        if !warnings.is_empty()
            && let Some(node) = drained(api, namespace).await?
        {
            return refused(format!(
                "pods of the namespace run on the node {node}, which is being drained: they would be refused where they \
                 start anew. Wait for the drain"
            ));
        }
        left.extend(warnings.into_iter().map(|warning| said(format!("refused at its next start: {warning}"))));
    }
    left.push(said("pods that run go on as they are: the label binds those that start from now on"));
    let slot = Label { object: namespace.object.clone(), key: ENFORCE.to_owned() };
    let change =
        Change { slot: slot.into(), before: KubeState::text(before), after: KubeState::text(Some(RESTRICTED)) };
    Ok(Plan::empty().then([change]).leaving(left))
}

#[derive(Deserialize)]
struct Node {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    unschedulable: bool,
}

/// A node that is cordoned and still has pods of the namespace: what a drain looks like while it is open.
async fn drained(api: &KubeApi, namespace: &NamespaceFacts) -> Result<Option<String>> {
    let cordoned: Vec<String> = api
        .list(&List::of(Resource::nodes()), |node: Node| node.spec.unschedulable.then_some(node.metadata.name))
        .await?;
    if cordoned.is_empty() {
        return Ok(None);
    }
    let fields = format!("metadata.namespace={}", namespace.name());
    let used: BTreeSet<String> = api
        .pods_where(&fields, |_| true)
        .await?
        .into_iter()
        .filter_map(|pod| pod.node.map(|it| it.to_string()))
        .collect();
    Ok(cordoned.into_iter().find(|node| used.contains(node)))
}

async fn mutate(ours: &mut Ours<'_>, namespace: &NamespaceFacts) -> Result<Plan<PolicySlot>> {
    let api = ours.api;
    let (Some(policies), Some(bindings)) = (
        api.serves(ADMISSION, "mutatingadmissionpolicies").await?,
        api.serves(ADMISSION, "mutatingadmissionpolicybindings").await?,
    ) else {
        let message = "the cluster does not serve MutatingAdmissionPolicy: use how: label";
        return Err(Error::new(Kind::Unsupported, "plan", message).on(api.cluster().to_string()));
    };
    let name = format!("stanch-restrict-pods-{}", namespace.name());
    let policy = ours.object(&policies, None, &name, json!({"spec": mutating(namespace)}), Compare::Exact).await?;
    let binding = ours.object(&bindings, None, &name, json!({"spec": {"policyName": name}}), Compare::Exact).await?;
    Ok(Plan::empty().then([policy]).then([binding]).leaving([
        said("pods that run go on as they are: those that start from now on are made to comply"),
        said(
            "what asks for more than the standard allows (host namespaces, host paths, host ports) is not taken away: \
              set the label for that (how: label)",
        ),
    ]))
}

/// An apply configuration keeps what it does not name. It may not touch a list that is replaced as a whole, and
/// `capabilities.drop` is one: that is patched, by place.
fn mutating(namespace: &NamespaceFacts) -> Value {
    let containers = |list: &str| {
        format!(
            "Object{{spec: Object.spec{{{list}: object.spec.{list}.map(c, Object.spec.{list}{{name: c.name, securityContext: \
             Object.spec.{list}.securityContext{{allowPrivilegeEscalation: false, privileged: false, runAsNonRoot: true}}}})}}}}"
        )
    };
    let capabilities = |list: &str| {
        format!(
            "object.spec.{list}.transformList(i, c, JSONPatch{{op: \"add\", path: \"/spec/{list}/\" + string(i) + \
             \"/securityContext/capabilities\", value: \
             Object.spec.{list}.securityContext.capabilities{{drop: [\"ALL\"]}}}})"
        )
    };
    let apply = |expression: String| json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}});
    let patch = |expression: String| json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}});
    let pod = "Object{spec: Object.spec{securityContext: Object.spec.securityContext{runAsNonRoot: true, seccompProfile: \
               Object.spec.securityContext.seccompProfile{type: \"RuntimeDefault\"}}}}";
    // A list that is absent cannot be mapped.
    let (init, has) = ("initContainers", "has(object.spec.initContainers)");
    json!({
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": only(namespace),
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "Namespaced"}],
        },
        "mutations": [
            apply(pod.to_owned()),
            apply(containers("containers")),
            patch(capabilities("containers")),
            apply(format!("{has} ? {} : Object{{}}", containers(init))),
            patch(format!("{has} ? {} : []", capabilities(init))),
        ],
    })
}
