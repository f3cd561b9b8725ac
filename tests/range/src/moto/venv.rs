//! A Python environment per list of requirements, made once and kept in the cache.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::home;

const RANGE: &str = include_str!("../../requirements.txt");
const BENCH: &str = include_str!("../../requirements-bench.txt");
const CUSTODIAN: &str = include_str!("../../requirements-custodian.txt");
const DEPLOY: &str = include_str!("../../requirements-deploy.txt");
const INFRA: &str = include_str!("../../requirements-infra.txt");
const GOOGLE: &str = include_str!("../../requirements-google.txt");

/// moto asks for it.
const OLDEST: (u32, u32) = (3, 10);

/// The Python that has moto and boto3. The first call takes a minute; processes that want it at once wait for one.
pub fn ensure_venv() -> io::Result<PathBuf> {
    make(RANGE)
}

/// The Python that has moto with what infrastructure is made of, and the readers of SAM templates.
pub fn ensure_deploy_venv() -> io::Result<PathBuf> {
    make(DEPLOY)
}

/// The Python that has awslambdaric and boto3, for the comparison.
pub fn ensure_bench_venv() -> io::Result<PathBuf> {
    make(BENCH)
}

/// The Python that has Cloud Custodian, for the comparison.
pub fn ensure_custodian_venv() -> io::Result<PathBuf> {
    make(CUSTODIAN)
}

/// The Python that has Google's client and its discovery documents, which hold the GCE simulator honest.
pub fn ensure_google_venv() -> io::Result<PathBuf> {
    make(GOOGLE)
}

/// The Python that has checkov and Knative's schema, which judge what is deployed.
pub fn ensure_infra_venv() -> io::Result<PathBuf> {
    make(INFRA)
}

fn make(requirements: &str) -> io::Result<PathBuf> {
    let hash = Sha256::digest(requirements.as_bytes());
    let hash: Vec<String> = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let hash = hash.concat();
    let cache = home::cache()?;
    let folder = cache.join(format!("venv-{hash}"));
    let (python, done) = (folder.join("bin/python"), folder.join("complete"));
    if done.exists() {
        return Ok(python);
    }
    let lock = File::create(cache.join(format!("venv-{hash}.lock")))?;
    lock.lock()?;
    if done.exists() {
        return Ok(python);
    }
    check_python()?;
    // Progress for people; a test's output swallows it.
    let _ = writeln!(io::stderr(), "range: making a Python environment in {} (once; about a minute)", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    run(
        Command::new("python3").args(["-m", "venv"]).arg(&folder),
        "python3 -m venv (on Debian: apt install python3-venv)",
    )?;
    let list = folder.join("requirements.txt");
    fs::write(&list, requirements)?;
    install(&python, &list)?;
    fs::write(&done, "")?;
    Ok(python)
}

fn install(python: &Path, list: &Path) -> io::Result<()> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(list);
    run(&mut pip, "pip install")
}

fn check_python() -> io::Result<()> {
    let (major, minor) = OLDEST;
    let wanted = format!("Python {major}.{minor} or newer is needed (python3 on the PATH)");
    let said = Command::new("python3")
        .args(["-c", "import sys; print(sys.version_info[0], sys.version_info[1])"])
        .stderr(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{wanted}: {error}")))?;
    let text = String::from_utf8_lossy(&said.stdout);
    let mut numbers = text.split_whitespace().filter_map(|number| number.parse::<u32>().ok());
    match numbers.next().zip(numbers.next()) {
        Some(found) if found >= OLDEST => Ok(()),
        Some((major, minor)) => Err(io::Error::other(format!("{wanted}, this is {major}.{minor}"))),
        None => Err(io::Error::other(wanted)),
    }
}

fn run(command: &mut Command, what: &str) -> io::Result<()> {
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(io::Error::other(format!("{what} failed ({}): {}", done.status, last.join(" / "))))
}
