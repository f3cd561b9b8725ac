//! The image: built without a network, and its own file system is all that the responder needs.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use stanch_tests::{Ending, root, skipped};

use crate::{installed, run};

const RESPONDER: &str = "k8s-cordon-node";

/// A binary as it is released, else as it was built last.
fn profile() -> Option<(PathBuf, &'static str)> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let found = ["dist", "release", "debug"].into_iter().find(|profile| target.join(profile).join(RESPONDER).is_file());
    found.map(|profile| (target, profile))
}

#[test]
fn the_image_answers_from_its_own_files_as_nobody() {
    if !installed("buildah", "--version") {
        return skipped("the container image", "buildah is not installed");
    }
    if run(Command::new("id").arg("-u")).unwrap().trim() != "0" {
        return skipped("the container image", "only root may change its root folder");
    }
    let Some((target, profile)) = profile() else {
        return skipped("the container image", &format!("{RESPONDER} was not built"));
    };
    let store = tempfile::tempdir().unwrap();
    let storage =
        ["--storage-driver", "vfs", "--root", &place(store.path(), "root"), "--runroot", &place(store.path(), "run")]
            .map(str::to_owned);
    let buildah = |words: &[&str]| run(Command::new("buildah").args(&storage).args(words)).unwrap().trim().to_owned();
    run(Command::new(root().join("infra/image/build"))
        .args([RESPONDER, "stanch-test"])
        .env("BUILDER", "buildah")
        .env("BUILDER_ARGS", storage.join(" "))
        .env("CARGO_TARGET_DIR", &target)
        .env("PROFILE", profile))
    .unwrap();
    let user = buildah(&["inspect", "--type", "image", "--format", "{{.OCIv1.Config.User}}", "stanch-test"]);
    assert_eq!(user, "65532:65532");

    let container = buildah(&["from", "--pull-never", "stanch-test"]);
    let files = PathBuf::from(buildah(&["mount", &container]));
    let mut programs = BTreeSet::new();
    walk(&files, &files, &mut programs);
    let beyond: Vec<_> = programs.iter().filter(|path| !expected(path)).collect();
    assert!(beyond.is_empty(), "the image has more than it needs: {beyond:?}");
    assert!(programs.contains("etc/ssl/certs/ca-certificates.crt"), "{programs:?}");

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new("chroot")
        .arg("--userspec=65532:65532")
        .arg(&files)
        .arg("/responder")
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("PORT", port.to_string())
        .env("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
        .env("STANCH_LEDGER", "sqlite:/tmp/ledger.db")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Ending(child);
    let until = Instant::now() + Duration::from_mins(1);
    while !healthy(port) {
        assert_eq!(child.0.try_wait().unwrap(), None, "the responder ended");
        assert!(Instant::now() < until, "the responder does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    let until = Instant::now() + Duration::from_secs(10);
    while !files.join("tmp/ledger.db").is_file() {
        assert!(Instant::now() < until, "the ledger could not be made in /tmp");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(child);
    buildah(&["rm", &container]);
}

fn place(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn walk(top: &Path, folder: &Path, found: &mut BTreeSet<String>) {
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            walk(top, &entry.path(), found);
        } else {
            found.insert(entry.path().strip_prefix(top).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// The responder, the loader and libraries, the roots, and the name of nobody.
fn expected(path: &str) -> bool {
    let library = path.starts_with("lib") || path.starts_with("usr/lib");
    ["responder", "etc/passwd", "etc/ssl/certs/ca-certificates.crt"].contains(&path) || library && path.contains(".so")
}

fn healthy(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut said = String::new();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").is_ok()
        && stream.read_to_string(&mut said).is_ok()
        && said.starts_with("HTTP/1.1 200")
}
