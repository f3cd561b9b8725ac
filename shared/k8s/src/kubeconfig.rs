//! Reads kubeconfigs as `kubectl` does (Kubernetes: "Organizing Cluster Access Using kubeconfig Files"): YAML as JSON, the
//! files of `KUBECONFIG` merged, relative paths relative to their file.
//!
//! `kube` does so too, with a YAML reader of its own, which would be half a megabyte of every binary.

use std::{
    env, fs, io,
    path::{MAIN_SEPARATOR, Path, PathBuf},
};

use kube::config::{AuthInfo, Kubeconfig};
use stanch_core::{Error, Kind, Result};

/// What `KUBECONFIG` names, or `~/.kube/config`. `None` when nothing is named and no file is there.
pub(crate) fn from_environment() -> Result<Option<Kubeconfig>> {
    let named = env::var_os("KUBECONFIG").unwrap_or_default();
    let mut paths = env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()).peekable();
    if paths.peek().is_none() {
        let Some(path) = env::home_dir().map(|home| home.join(".kube/config")) else { return Ok(None) };
        // One that is there and cannot be read is none that is missing.
        let is_there = path.try_exists().map_err(|error| unread(&path, &error))?;
        return if is_there { from_file(&path).map(Some) } else { Ok(None) };
    }
    let merge = |all: Kubeconfig, path: PathBuf| {
        let next = from_file(&path)?;
        all.merge(next).map_err(|_| Error::invalid("KUBECONFIG", "names files of different kinds"))
    };
    paths.try_fold(Kubeconfig::default(), merge).map(Some)
}

/// One file.
///
/// # Errors
/// [`Kind::Invalid`], without the reader's words: they may show the lines around it, and a kubeconfig holds tokens.
pub(crate) fn from_file(path: &Path) -> Result<Kubeconfig> {
    let text = fs::read_to_string(path).map_err(|error| unread(path, &error))?;
    let odd = || Error::new(Kind::Invalid, "read", "is not a kubeconfig").on("KUBECONFIG");
    // An empty file is an empty configuration.
    let value: Option<serde_json::Value> = yaml_serde::from_str(&text).map_err(|_| odd())?;
    let Some(value) = value else { return Ok(Kubeconfig::default()) };
    let mut config: Kubeconfig = serde_json::from_value(value).map_err(|_| odd())?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        under(folder, &mut cluster.certificate_authority);
    }
    for user in config.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        let AuthInfo { client_certificate, client_key, token_file, exec, .. } = user;
        for place in [client_certificate, client_key, token_file] {
            under(folder, place);
        }
        // A plugin without a separator is looked for in `PATH`.
        if let Some(exec) = exec.as_mut().filter(|it| it.command.as_ref().is_some_and(|it| it.contains(MAIN_SEPARATOR)))
        {
            under(folder, &mut exec.command);
        }
    }
    Ok(config)
}

fn unread(path: &Path, error: &io::Error) -> Error {
    Error::invalid("KUBECONFIG", format!("{} cannot be read: {}", path.display(), error.kind()))
}

fn under(folder: &Path, place: &mut Option<String>) {
    if let Some(path) = place
        && let Some(whole) = folder.join(&*path).to_str()
    {
        whole.clone_into(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "
apiVersion: v1
kind: Config
current-context: prod
clusters:
- name: prod
  cluster: {server: 'https://10.0.0.1', certificate-authority: ca.crt}
contexts:
- name: prod
  context: {cluster: prod, user: ana}
users:
- name: ana
  user:
    client-certificate: /etc/ana.crt
    client-key: keys/ana.key
    exec: {apiVersion: client.authentication.k8s.io/v1, command: bin/login, interactiveMode: Never}
- name: bob
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1, command: aws, args: [eks, get-token]}
";

    fn read(text: &str) -> (tempfile::TempDir, Result<Kubeconfig>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config");
        fs::write(&path, text).expect("a file");
        let read = from_file(&path);
        (folder, read)
    }

    #[test]
    fn paths_are_relative_to_their_file_and_a_plugin_to_the_search_path() {
        let (folder, config) = read(WHOLE);
        let config = config.expect("a kubeconfig");
        let inside = |name: &str| Some(folder.path().join(name).to_str().expect("text").to_owned());
        assert_eq!(config.current_context.as_deref(), Some("prod"));
        assert_eq!(config.clusters[0].cluster.as_ref().expect("a cluster").certificate_authority, inside("ca.crt"));
        let [ana, bob] = [0, 1].map(|at| config.auth_infos[at].auth_info.as_ref().expect("a user"));
        assert_eq!(ana.client_certificate.as_deref(), Some("/etc/ana.crt"));
        assert_eq!(ana.client_key, inside("keys/ana.key"));
        assert_eq!(ana.exec.as_ref().expect("a plugin").command, inside("bin/login"));
        assert_eq!(bob.exec.as_ref().expect("a plugin").command.as_deref(), Some("aws"));
    }

    #[test]
    fn what_is_none_is_refused_without_its_text() {
        assert!(read("").1.expect("empty").contexts.is_empty());
        for text in ["users: [", "users: secret-7", "- secret-7", "users: []\n---\nusers: []\n"] {
            let error = read(text).1.expect_err(text);
            assert_eq!(error.kind(), Kind::Invalid, "{text}");
            assert!(error.to_string().contains("KUBECONFIG") && !error.to_string().contains("secret-7"), "{error}");
        }
    }
}
