//! moto server: EC2, `DynamoDB`, STS, IAM, EKS and Auto Scaling on a loopback port.
//!
//! It runs in a Python environment that [`ensure_venv`] makes once under the cache, and ends with its stdin, so
//! that no crash of ours leaves one behind. The helpers here block; the server runs in a process of its own, so
//! they may be called from anywhere.

mod venv;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::host::lock;

pub use venv::{
    ensure_bench_venv, ensure_custodian_venv, ensure_deploy_venv, ensure_google_venv, ensure_infra_venv, ensure_venv,
};

/// What is changed in moto, whatever is tried.
const CHANGED: [&str; 3] = [include_str!("quick.py"), include_str!("aws.py"), include_str!("pods.py")];
const DEPLOYED: &str = include_str!("deployed.py");
const SERVE: &str = include_str!("serve.py");
const PYTHON: &str = include_str!("python.py");
const SEED_INSTANCE: &str = include_str!("seed_instance.py");
const SEED_EC2: &str = include_str!("seed_ec2.py");
const DESCRIBE: &str = include_str!("describe.py");
const REGION: &str = "eu-central-1";

/// An instance that was planted.
#[derive(Clone, Debug, Deserialize)]
pub struct SeededInstance {
    /// `i-…`
    pub id: String,
    /// Its region.
    pub region: String,
    /// Its account.
    pub account: String,
    /// Its EBS volumes, root first.
    pub volumes: Vec<String>,
    /// Its network interfaces, the primary one first; of [`Moto::seed_ec2`] only.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// The VPC that it is in; of [`Moto::seed_ec2`] only.
    #[serde(default)]
    pub vpc: String,
    /// The subnet that it is in; of [`Moto::seed_ec2`] only.
    #[serde(default)]
    pub subnet: String,
    /// The Auto Scaling group that it is in.
    #[serde(default)]
    pub group: Option<String>,
}

/// A running moto server. Killed, by its own PID, when dropped.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    _stdin: Option<ChildStdin>,
    addr: SocketAddr,
    python: PathBuf,
    scripts: Mutex<Option<Scripts>>,
}

/// A Python that runs scripts. Ends with its stdin.
#[derive(Debug)]
struct Scripts {
    child: Child,
    stdin: ChildStdin,
    stdout: io::BufReader<ChildStdout>,
}

impl Moto {
    /// Starts one in the environment that [`ensure_venv`] makes. Blocks until it serves.
    pub fn start() -> io::Result<Self> {
        Self::serve(ensure_venv()?, &[])
    }

    /// Starts one with all that infrastructure is made of, in the environment that [`ensure_deploy_venv`] makes.
    pub fn start_deployed() -> io::Result<Self> {
        Self::serve(ensure_deploy_venv()?, &[DEPLOYED])
    }

    fn serve(python: PathBuf, more: &[&str]) -> io::Result<Self> {
        let script = [&CHANGED, more, &[SERVE]].concat().join("\n");
        let mut child = Command::new(&python)
            .args(["-c", &script])
            .env_remove("AWS_ENDPOINT_URL")
            .env("AWS_ACCESS_KEY_ID", "range")
            .env("AWS_SECRET_ACCESS_KEY", "range")
            // Its images come with 1,285 snapshots that belong to `self`, which no account has.
            .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            io::BufReader::new(out).read_line(&mut line)?;
        }
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        let Some(port) = said.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()) else {
            let _ = child.kill();
            let status = child.wait()?;
            return Err(io::Error::other(format!("moto did not start ({status}): {}", python.display())));
        };
        Ok(Self {
            child,
            _stdin: stdin,
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            python,
            scripts: Mutex::default(),
        })
    }

    /// `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What a client needs in its environment.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        env(&self.url())
    }

    /// Forgets everything.
    pub fn reset(&self) -> io::Result<()> {
        self.post("/moto-api/reset", "")
    }

    /// From now on, lets `free` more calls through and then checks IAM policies (actions only, against `*`).
    /// An infinite number switches the check off.
    pub fn enforce_iam(&self, free: f64) -> io::Result<()> {
        self.post("/moto-api/reset-auth", &free.to_string())
    }

    /// Runs a Python script with boto3, pointed at this server, and reads its stdout as JSON.
    pub fn python(&self, script: &str) -> io::Result<Value> {
        self.python_with(script, &Value::Null)
    }

    /// The same with an input, which the script finds as JSON in `RANGE_INPUT`.
    pub fn python_with(&self, script: &str, input: &Value) -> io::Result<Value> {
        let mut slot = lock(&self.scripts);
        let scripts = match &mut *slot {
            Some(scripts) => scripts,
            empty => empty.insert(Scripts::start(&self.python, &self.url())?),
        };
        let answer = scripts.run(script, input);
        if answer.is_err() {
            *slot = None;
        }
        let answer = answer?;
        if let Some(said) = answer.get("failed").and_then(Value::as_str) {
            return Err(io::Error::other(format!("the script failed: {said}")));
        }
        let out = answer.get("out").and_then(Value::as_str).unwrap_or_default();
        if out.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(out).map_err(io::Error::other)
    }

    /// Plants an instance with this many EBS volumes, instance and volumes tagged.
    pub fn seed_instance(&self, volumes: usize, tags: &[(&str, &str)]) -> io::Result<SeededInstance> {
        let tags: BTreeMap<_, _> = tags.iter().copied().collect();
        let seeded = self.python_with(SEED_INSTANCE, &json!({"volumes": volumes, "tags": tags}))?;
        serde_json::from_value(seeded).map_err(io::Error::other)
    }

    /// Plants an instance in a VPC of its own (or `vpc` and `subnet`; `ipv4_only`: in one without IPv6), as told:
    /// `{"interfaces": [{"groups": 2, "ipv6": 1, "address": "none|auto|elastic"}], "volumes": 3, "spot": true,
    /// "stopped": true, "tags": {}, "group": {"min": 1, "max": 3, "desired": 2}}`.
    pub fn seed_ec2(&self, wanted: &Value) -> io::Result<SeededInstance> {
        serde_json::from_value(self.python_with(SEED_EC2, wanted)?).map_err(io::Error::other)
    }

    /// An instance as the describe calls show it, with its interfaces, attributes, addresses, group and our security
    /// groups in its VPC; without what AWS assigns anew.
    pub fn describe_ec2(&self, instance: &str) -> io::Result<Value> {
        self.python_with(DESCRIBE, &json!(instance))
    }

    /// Makes a `DynamoDB` table with the hash key `key` (a string), billed per request.
    pub fn seed_table(&self, name: &str) -> io::Result<()> {
        let script = "import boto3, json, os\n\
            boto3.client('dynamodb').create_table(TableName=json.loads(os.environ['RANGE_INPUT']),\n\
            \x20   BillingMode='PAY_PER_REQUEST', KeySchema=[{'AttributeName': 'key', 'KeyType': 'HASH'}],\n\
            \x20   AttributeDefinitions=[{'AttributeName': 'key', 'AttributeType': 'S'}])\n";
        self.python_with(script, &json!(name)).map(drop)
    }

    /// The snapshots that this account owns, as `DescribeSnapshots` shows them.
    pub fn describe_snapshots(&self) -> io::Result<Vec<Value>> {
        let script = "import boto3, json\n\
            pages = boto3.client('ec2').get_paginator('describe_snapshots').paginate(OwnerIds=['self'])\n\
            print(json.dumps([s for page in pages for s in page['Snapshots']], default=str))\n";
        match self.python(script)? {
            Value::Array(found) => Ok(found),
            _ => Err(io::Error::other("no list of snapshots")),
        }
    }

    /// Every item of a table, in `DynamoDB`'s own JSON.
    pub fn scan(&self, table: &str) -> io::Result<Vec<Value>> {
        let script = "import boto3, base64, json, os\n\
            pages = boto3.client('dynamodb').get_paginator('scan').paginate(TableName=json.loads(os.environ['RANGE_INPUT']), ConsistentRead=True)\n\
            print(json.dumps([i for page in pages for i in page['Items']], default=lambda b: base64.b64encode(b).decode()))\n";
        match self.python_with(script, &json!(table))? {
            Value::Array(found) => Ok(found),
            _ => Err(io::Error::other("no list of items")),
        }
    }

    /// Makes an IAM user with this inline policy; answers its access key id and secret, for a client under
    /// [`Self::enforce_iam`].
    pub fn user(&self, name: &str, policy: &Value) -> io::Result<(String, String)> {
        let script = "import boto3, json, os\n\
            want = json.loads(os.environ['RANGE_INPUT'])\n\
            iam = boto3.client('iam')\n\
            iam.create_user(UserName=want['name'])\n\
            iam.put_user_policy(UserName=want['name'], PolicyName='range', PolicyDocument=json.dumps(want['policy']))\n\
            key = iam.create_access_key(UserName=want['name'])['AccessKey']\n\
            print(json.dumps([key['AccessKeyId'], key['SecretAccessKey']]))\n";
        let key = self.python_with(script, &json!({"name": name, "policy": policy}))?;
        serde_json::from_value(key).map_err(io::Error::other)
    }

    /// The Python that has boto3.
    pub fn interpreter(&self) -> &Path {
        &self.python
    }

    /// A plain request; moto answers HTTP/1.0 style and closes.
    fn post(&self, path: &str, body: &str) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.addr, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(stream, "POST {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}", self.addr, body.len())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let first = answer.lines().next().unwrap_or_default();
        if first.contains(" 200") { Ok(()) } else { Err(io::Error::other(format!("{path}: {first}"))) }
    }
}

impl Scripts {
    fn start(python: &Path, url: &str) -> io::Result<Self> {
        let mut child = Command::new(python)
            .args(["-c", PYTHON])
            .envs(env(url))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Self { child, stdin, stdout: io::BufReader::new(stdout) }),
            _ => Err(io::Error::other("Python has no pipes")),
        }
    }

    fn run(&mut self, script: &str, input: &Value) -> io::Result<Value> {
        let mut line = json!({"script": script, "input": input.to_string()}).to_string();
        line.push('\n');
        self.stdin.write_all(line.as_bytes())?;
        self.stdin.flush()?;
        let mut answer = String::new();
        self.stdout.read_line(&mut answer)?;
        serde_json::from_str(&answer).map_err(io::Error::other)
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client needs in its environment to speak to moto at `url`, or to a proxy before it.
pub fn env(url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", url.to_owned()),
        ("AWS_ACCESS_KEY_ID", "range".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "range".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
