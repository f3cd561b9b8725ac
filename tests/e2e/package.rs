//! The same finding, through a Runtime API that is not ours: cargo-lambda's.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use stanch_tests::{Ending, root, skipped};

use crate::{
    aws::{World, world},
    service::bootstrap,
};

const FUNCTION: &str = "aws-snapshot-volumes";

/// cargo-lambda, fetched by the script that packages.
fn cargo_lambda() -> Option<PathBuf> {
    let found = Command::new(root().join("infra/package")).arg("--tools").current_dir(root()).output().ok()?;
    let folder = root().join(String::from_utf8(found.stdout).ok()?.trim());
    Some(folder.join("cargo-lambda")).filter(|program| found.status.success() && program.is_file())
}

struct Emulator {
    program: PathBuf,
    port: u16,
    _server: Ending,
}

impl Emulator {
    fn start(program: PathBuf) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Command::new(&program);
        server.args(["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1", "--invoke-port"]);
        let server = server.arg(port.to_string()).current_dir(root());
        let server = Ending(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let until = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "cargo lambda watch does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { program, port, _server: server }
    }

    /// A process, as Lambda starts one.
    fn function(&self, bootstrap: &Path, world: &World, mode: &str) -> Ending {
        let child = Command::new(bootstrap)
            .env_clear()
            .envs(world.moto.env())
            .env("AWS_LAMBDA_RUNTIME_API", format!("http://127.0.0.1:{}/.rt/{FUNCTION}", self.port))
            .env("AWS_LAMBDA_FUNCTION_NAME", FUNCTION)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("STANCH_LEDGER", "dynamodb:stanch-ledger")
            .env("STANCH_MODE", mode)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ending(child.unwrap())
    }

    fn invoke(&self, event: &Path) -> Output {
        let mut invoke = Command::new(&self.program);
        invoke.args(["lambda", "invoke", FUNCTION, "--invoke-address", "127.0.0.1", "--invoke-port"]);
        invoke.arg(self.port.to_string()).arg("--data-file").arg(event).current_dir(root());
        let mut child = invoke.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let until = Instant::now() + Duration::from_mins(1);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() >= until {
                child.kill().unwrap();
                panic!("the invocation is not answered: {:?}", child.wait_with_output());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.wait_with_output().unwrap()
    }
}

fn report(done: &Output) -> Value {
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    answer.as_array().map_or(answer.clone(), |reports| reports[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_works_under_a_runtime_api_that_is_not_ours() {
    let Some(program) = cargo_lambda() else {
        return skipped("cargo lambda watch and invoke", "cargo-lambda cannot be had from PyPI");
    };
    let folder = tempfile::tempdir().unwrap();
    let (world, event) = (world(), folder.path().join("event.json"));
    let real = root().join("../shared/events/guardduty-eventbridge-ec2-bitcointool.json");
    let finding = if real.is_file() {
        world.aimed(&real)
    } else {
        skipped("a public GuardDuty event through cargo lambda", "the folder of public events is not there");
        world.event()
    };
    fs::write(&event, finding.to_string()).unwrap();
    let (bootstrap, emulator) = (bootstrap(FUNCTION, folder.path()), Emulator::start(program));

    let observer = emulator.function(&bootstrap, &world, "observe");
    let planned = report(&emulator.invoke(&event));
    assert_eq!((&planned["status"], world.snapshots().len()), (&"planned".into(), 0), "{planned:#}");
    drop(observer);

    let _enforcer = emulator.function(&bootstrap, &world, "enforce");
    let applied = report(&emulator.invoke(&event));
    assert_eq!((&applied["status"], world.snapshots().len()), (&"applied".into(), 3), "{applied:#}");
    assert_eq!(report(&emulator.invoke(&event))["status"], "already");
}
