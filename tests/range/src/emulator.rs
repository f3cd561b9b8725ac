//! Google's own emulators of Firestore and Pub/Sub, where `gcloud` and Java are installed.
//!
//! Each runs in a process of its own on a loopback port and is killed, by its own id, when its handle is dropped.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long one may take to serve: it is a Java program, and the machine may be busy.
const START: Duration = Duration::from_mins(2);

/// A running emulator.
#[derive(Debug)]
pub struct Emulator {
    child: Child,
    host: String,
}

impl Emulator {
    /// Firestore in Native mode. Blocks until it serves.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not installed.
    pub fn firestore() -> io::Result<Self> {
        const MAIN: &str = "com.google.cloud.datastore.emulator.firestore.CloudFirestore";
        let jar = jar("cloud-firestore-emulator", "cloud-firestore-emulator")?;
        // Its messages are in the system's language otherwise.
        Self::start(|java| java.arg("-Duser.language=en").arg("-cp").arg(jar).arg(MAIN))
    }

    /// Pub/Sub. Blocks until it serves.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not installed.
    pub fn pubsub() -> io::Result<Self> {
        let jar = jar("pubsub-emulator/lib", "cloud-pubsub-emulator")?;
        Self::start(|java| java.arg("-jar").arg(jar))
    }

    /// `127.0.0.1:PORT`, for `FIRESTORE_EMULATOR_HOST` or `PUBSUB_EMULATOR_HOST`.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn start(program: impl FnOnce(&mut Command) -> &mut Command) -> io::Result<Self> {
        // They take no port 0; nobody else asks for this one within the moment.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut java = Command::new("java");
        let child = program(&mut java)
            .args(["--host=127.0.0.1", &format!("--port={port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut emulator = Self { child, host: format!("127.0.0.1:{port}") };
        let until = Instant::now() + START;
        while std::net::TcpStream::connect(&emulator.host).is_err() {
            if let Some(status) = emulator.child.try_wait()? {
                return Err(io::Error::other(format!("the emulator ended ({status})")));
            }
            if Instant::now() > until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the emulator does not serve"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(emulator)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An emulator's program, where `gcloud` keeps it.
fn jar(folder: &str, name: &str) -> io::Result<PathBuf> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("gcloud has no {name}"));
    let said = Command::new("gcloud").args(["info", "--format=value(installation.sdk_root)"]).output()?;
    let root = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    std::fs::read_dir(root.join("platform").join(folder))
        .map_err(|_| missing())?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            let file = path.file_name().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
            file.starts_with(name) && path.extension().is_some_and(|extension| extension == "jar")
        })
        .ok_or_else(missing)
}
