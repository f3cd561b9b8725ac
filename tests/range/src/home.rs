//! Where things are kept: the root of the source tree and the cache.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The root of the source tree, looked for upward from the working folder and from this program.
pub(crate) fn root() -> Option<PathBuf> {
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    starts.into_iter().flatten().find_map(|start| {
        start.ancestors().find(|folder| folder.join("tests/control-plane").is_dir()).map(Path::to_owned)
    })
}

/// `STANCH_CACHE`, else `.cache` in the root, else in the working folder.
pub(crate) fn cache() -> io::Result<PathBuf> {
    let folder = match std::env::var_os("STANCH_CACHE") {
        Some(given) if !given.is_empty() => PathBuf::from(given),
        _ => root().unwrap_or_default().join(".cache"),
    };
    std::fs::create_dir_all(&folder)?;
    folder.canonicalize()
}

/// A folder of its own, private, removed when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let folder = std::env::temp_dir().join(format!("stanch-{name}-{}-{number}-{unique}", std::process::id()));
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it: the system empties its folder of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
