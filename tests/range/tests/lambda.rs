//! A function in Python stands for the runtime here; the suites run the real binaries.

use std::io::Write;
use std::time::Duration;

use serde_json::json;
use stanch_range::lambda::{Lambda, Sandbox};

use crate::{installed, skipped};

const FUNCTION: &str = r#"
import http.client, json, os, sys, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def post(path, body, headers={}):
    api.request("POST", "/2018-06-01/runtime/" + path, json.dumps(body), headers)
    return api.getresponse().read()
if os.environ.get("BROKEN"):
    post("init/error", {"errorType": "Config", "errorMessage": "no ledger"})
    sys.exit(1)
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    event = json.loads(answer.read())
    id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    print("event", id, flush=True)
    if event.get("die"):
        os._exit(7)
    if event.get("sleep"):
        time.sleep(60)
    if event.get("fail"):
        post(f"invocation/{id}/error", {"errorType": "Refused", "errorMessage": "by the guard"})
        continue
    post(f"invocation/{id}/response", {"event": event, "name": os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        "arn": answer.headers["Lambda-Runtime-Invoked-Function-Arn"], "home": os.environ.get("HOME"),
        "left": int(answer.headers["Lambda-Runtime-Deadline-Ms"]) / 1000 - time.time()})
"#;

fn start(env: &[(&str, &str)]) -> Option<(Sandbox, tempfile::NamedTempFile)> {
    if !installed("python3") {
        skipped("python3 is not installed");
        return None;
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(FUNCTION.as_bytes()).unwrap();
    let lambda = Lambda::new("python3").arg(file.path()).name("aws-snapshot-volumes").inherit("PATH");
    let lambda = env.iter().fold(lambda, |lambda, (name, value)| lambda.env(name, value));
    Some((lambda.start().unwrap(), file))
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn events_are_answered_one_after_the_other() {
    let Some((sandbox, _file)) = start(&[]) else { return };
    let ready = sandbox.ready(LONG).await.unwrap();
    assert_eq!(sandbox.ready_after(), Some(ready));
    let done = sandbox.invoke(&json!({"n": 1}), LONG).await;
    let answer = done.result.unwrap();
    assert_eq!((&answer["event"], &answer["name"]), (&json!({"n": 1}), &json!("aws-snapshot-volumes")));
    assert_eq!(answer["home"], json!(null));
    assert!((20.0..=30.0).contains(&answer["left"].as_f64().unwrap()));
    let failed = sandbox.invoke(&json!({"fail": true}), LONG).await.result.unwrap_err();
    assert_eq!((failed.error_type.as_str(), failed.message.as_str()), ("Refused", "by the guard"));
    assert!(sandbox.invoke(&json!({"n": 3}), LONG).await.result.is_ok());
    // What it printed may come after its answer.
    for _ in 0..200 {
        if sandbox.logs().len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sandbox.logs().len(), 3);
    if cfg!(target_os = "linux") {
        assert!(sandbox.peak_rss_kib().unwrap() > 1000);
    }
}

#[tokio::test]
async fn death_deadline_and_kill_are_told_apart() {
    let Some((sandbox, _file)) = start(&[]) else { return };
    let died = sandbox.invoke(&json!({"die": true}), LONG).await.result.unwrap_err();
    assert_eq!(died.error_type, "Runtime.ExitError");
    assert!(died.message.ends_with("exit status: 7"), "{}", died.message);

    let Some((sandbox, _file)) = start(&[]) else { return };
    sandbox.ready(LONG).await.unwrap();
    let late = sandbox.invoke(&json!({"sleep": true}), Duration::from_millis(50)).await.result.unwrap_err();
    assert_eq!(late.error_type, "Sandbox.Timedout");

    let Some((sandbox, _file)) = start(&[]) else { return };
    sandbox.ready(LONG).await.unwrap();
    let event = json!({"sleep": true});
    let invoked = sandbox.invoke(&event, LONG);
    let killed = async {
        while sandbox.logs().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        sandbox.kill();
    };
    let (done, ()) = tokio::join!(invoked, killed);
    assert_eq!(done.result.unwrap_err().error_type, "Runtime.ExitError");
    assert!(!sandbox.is_running());
}

#[tokio::test]
async fn a_broken_start_is_reported() {
    let Some((sandbox, _file)) = start(&[("BROKEN", "1")]) else { return };
    assert_eq!(sandbox.ready(LONG).await, None);
    assert_eq!(sandbox.init_error().unwrap().message, "no ledger");
    assert_eq!(sandbox.invoke(&json!({}), LONG).await.result.unwrap_err().error_type, "Config");
}
