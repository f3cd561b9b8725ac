//! Under another name: the new account is made and has its rights before anybody runs as it.

use serde_json::{Value, json};
use stanch_core::{
    Change, Disruption, Error, Plan, Remaining, Result, Scene,
    names::{KubeName, Namespace},
};
use stanch_k8s::{
    AccountSlot, Compare, Fields, KubeApi, KubeState, Object, ObjectRef, Propagation, Renewal, RunsAs, Who,
};

use crate::{K8sRotateServiceAccount, remaining};

const PATH: &str = "/spec/template/spec/serviceAccountName";

pub(crate) async fn plan(
    api: &KubeApi,
    scene: &Scene<'_, K8sRotateServiceAccount>,
    value: &Value,
    users: RunsAs,
) -> Result<Plan<AccountSlot>> {
    let old = &scene.facts.object;
    if old.name.as_str() == "default" {
        return Err(Error::refused(
            "every pod that names no account runs as `default`, and its controller makes it again: use how: recreate",
        ));
    }
    let Some(namespace) = old.namespace.clone() else { return Ok(Plan::empty()) };
    let name = new_name(scene, &old.name)?;
    let new = ObjectRef { name: name.clone(), uid: None, ..old.clone() };
    let mut manifest = Renewal::of(old.clone(), value).manifest;
    if let Some(meta) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert("name".into(), name.as_str().into());
    }
    let existence = |object: ObjectRef, manifest: Value| Object {
        object,
        manifest,
        compare: Compare::Contains,
        propagation: Propagation::Background,
        disruption: Disruption::Service,
        shared: false,
    };
    let made = Change { slot: existence(new, manifest).into(), before: Object::absent(), after: Object::present() };

    let before = Who::Account { namespace: namespace.clone(), name: old.name.clone() };
    let after = Who::Account { namespace: namespace.clone(), name: name.clone() };
    let bindings = api.bindings(|it| !it.naming(&before).is_empty()).await?;
    let given: Vec<_> = bindings
        .iter()
        .map(|binding| Change {
            slot: binding.subjects_of(&after).into(),
            before: KubeState(binding.naming(&after).into()),
            after: KubeState(json!([subject(&namespace, &name)])),
        })
        .collect();
    let moved: Vec<_> = users
        .workloads
        .iter()
        .map(|workload| {
            let fields = Fields {
                object: workload.object.clone(),
                paths: vec![PATH.to_owned()],
                about: format!("run as {name}:"),
                disruption: Disruption::Service,
            };
            let before = fields.state_in(&workload.value);
            Change { slot: fields.into(), before, after: KubeState(json!({PATH: name.as_str()})) }
        })
        .collect();
    let gone = existence(old.clone(), Renewal::of(old.clone(), value).manifest);
    let gone = Change { slot: gone.into(), before: Object::present(), after: Object::absent() };

    let many = given.len().max(moved.len());
    let mut left = remaining(scene, value, &users);
    left.push(Remaining::new(format!(
        "what names the account {} outside of this cluster must name {name}: the trust of a cloud role, GitOps",
        old.name
    )));
    Ok(Plan::empty().then([made]).then(given).then(moved).then([gone]).over(many).leaving(left))
}

fn subject(namespace: &Namespace, name: &KubeName) -> Value {
    json!({"kind": "ServiceAccount", "name": name.as_str(), "namespace": namespace.as_str()})
}

fn new_name(scene: &Scene<'_, K8sRotateServiceAccount>, old: &KubeName) -> Result<KubeName> {
    match &scene.options.new_name {
        Some(name) if name == old => Err(Error::invalid("options.new_name", "must be another name")),
        Some(name) => Ok(name.clone()),
        None => {
            let digits: String = scene.mark.record.as_str().chars().take(6).collect();
            let stem: String = old.as_str().chars().take(240).collect();
            format!("{stem}-{digits}").parse().map_err(|error: Error| error.within("options.new_name"))
        }
    }
}
