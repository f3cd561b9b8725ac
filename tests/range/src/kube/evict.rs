//! Evictions, and pods that take their time to end.
//!
//! What is answered, and in which order, is that of the API server (pkg/registry/core/pod/storage/eviction.go). No
//! disruption controller stands behind it: a budget allows what its status says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::api::{Place, Seen, allowed, body, dry_run};
use super::delete;
use super::rbac::User;
use super::select;
use super::state::{Key, State};
use super::status::Failure;
use crate::host::Asked;

/// How many milliseconds a deleted pod takes to end; without it, it ends at once. As in tests/control-plane.
const TERMINATION: &str = "stanch.dev/test-termination-ms";

/// `POST pods/NAME/eviction`
pub(super) fn evict(
    state: &mut State,
    asked: &Asked,
    seen: &mut Seen,
    user: &User,
    place: &Place<'_>,
) -> Result<Value, Failure> {
    let eviction = body(asked)?;
    let options = eviction.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
    let dry = dry_run(asked)? || options.pointer("/dryRun/0") == Some(&json!("All"));
    seen.write = !dry;
    allowed(seen, user, place, "create")?;
    let name = place.name.unwrap_or_default();
    if eviction.pointer("/metadata/name").and_then(Value::as_str) != Some(name) {
        return Err(Failure::bad_request("name in URL does not match name in Eviction object"));
    }
    let pods = Place { served: place.served.clone(), subresource: None, ..*place };
    let pod = state.objects.get(&pods.key()).cloned().ok_or_else(|| Failure::not_found("pods", name))?;
    if is_terminating(state, place.namespace.unwrap_or_default()) {
        return Err(Failure::namespace_ends(name, place.namespace.unwrap_or_default()));
    }
    let phase = pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    let over =
        matches!(phase, "Succeeded" | "Failed" | "Pending") || pod.pointer("/metadata/deletionTimestamp").is_some();
    if !over {
        decrement(state, place.namespace.unwrap_or_default(), &pod, dry)?;
    }
    let request = Asked { body: options.to_string().into_bytes().into(), ..asked.clone() };
    delete::delete(state, &request, &pods, &pod, dry)?;
    seen.created = true;
    Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
}

fn is_terminating(state: &State, namespace: &str) -> bool {
    let key: Key = ("namespaces".into(), String::new(), namespace.into());
    state.objects.get(&key).is_some_and(|it| it.pointer("/metadata/deletionTimestamp").is_some())
}

/// Takes one from the only budget that selects the pod.
fn decrement(state: &mut State, namespace: &str, pod: &Value, dry: bool) -> Result<(), Failure> {
    let mut budgets = Vec::new();
    for (key, budget) in &state.objects {
        if key.0 == "poddisruptionbudgets.policy" && key.1 == namespace && selected(budget, pod)? {
            budgets.push((key.clone(), budget.clone()));
        }
    }
    let [(key, budget)] = budgets.as_slice() else {
        return if budgets.is_empty() { Ok(()) } else { Err(Failure::two_budgets()) };
    };
    let number = |path: &str| budget.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Err(Failure::budget(
            &format!("The disruption budget {} is still being processed by the server.", key.2),
            10,
        ));
    }
    let allowed = number("/status/disruptionsAllowed");
    if allowed <= 0 {
        let (desired, current) = (number("/status/desiredHealthy"), number("/status/currentHealthy"));
        let cause = format!("The disruption budget {} needs {desired} healthy pods and has {current} currently", key.2);
        return Err(Failure::budget(&cause, 0));
    }
    if !dry {
        let mut less = budget.clone();
        super::patch::merge(&mut less, &json!({"status": {"disruptionsAllowed": allowed - 1}}));
        state.put(key.clone(), less);
    }
    Ok(())
}

/// Whether a budget's selector (`matchLabels`, and `matchExpressions` of the operators with values) selects a pod.
fn selected(budget: &Value, pod: &Value) -> Result<bool, Failure> {
    let Some(selector) = budget.pointer("/spec/selector").filter(|it| it.is_object()) else { return Ok(false) };
    let mut terms = Vec::new();
    for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        terms.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default();
        let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
        let values: Vec<_> = values.filter_map(Value::as_str).collect();
        terms.push(match text("operator") {
            "In" => format!("{} in ({})", text("key"), values.join(",")),
            "NotIn" => format!("{} notin ({})", text("key"), values.join(",")),
            "Exists" => text("key").to_owned(),
            _ => format!("!{}", text("key")),
        });
    }
    select::labels(&terms.join(","), pod)
}

/// How long a pod takes to end when it is asked to.
pub(super) fn termination(resource: &str, pod: &Value, options: &Value) -> Duration {
    if resource != "pods" {
        return Duration::ZERO;
    }
    let takes = pod.pointer("/metadata/annotations").and_then(|it| it.get(TERMINATION)).and_then(Value::as_str);
    let takes = Duration::from_millis(takes.and_then(|ms| ms.parse().ok()).unwrap_or(0));
    let grace = options.get("gracePeriodSeconds").and_then(Value::as_u64);
    let own = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    takes.min(Duration::from_secs(grace.or(own).unwrap_or(30)))
}

/// Lets go of the pods that have ended by now.
pub(super) fn sweep(state: &mut State) {
    let now = Instant::now();
    let due: Vec<Key> = state.ending.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
    for key in due {
        state.ending.remove(&key);
        if state.objects.get(&key).is_some_and(delete::is_due) {
            delete::forget(state, &key);
        }
    }
}
