//! Container image references, compared as a runtime resolves them.

use crate::pods::Container;

const DOCKER: &str = "docker.io";

/// A reference to an image: repository, tag and digest, as far as it names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// With its registry: `docker.io/library/nginx`; empty for a digest alone.
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageName {
    /// Reads `nginx`, `registry:5000/shop/web:1.2`, `shop/web@sha256:…`, `docker-pullable://…` or a digest alone.
    pub fn read(text: &str) -> Self {
        let text = text.rsplit("://").next().unwrap_or(text);
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None if text.starts_with("sha256:") => ("", Some(text.to_owned())),
            None => (text, None),
        };
        // A colon before the last slash is a port.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
            _ => (name, None),
        };
        Self { repository: full(repository), tag, digest }
    }

    /// Whether a container runs it. A digest decides, then the tag (`latest` where a container names none), then the
    /// repository alone.
    pub fn is_run_by(&self, container: &Container) -> bool {
        let spec = Self::read(&container.image);
        let running = container.image_id.as_deref().map(Self::read);
        let same_name = self.repository.is_empty() || self.repository == spec.repository;
        if let Some(digest) = &self.digest {
            let has = |name: &Self| name.digest.as_ref() == Some(digest);
            return same_name && (has(&spec) || running.as_ref().is_some_and(has));
        }
        let tag = |name: &Self| name.tag.clone().or_else(|| name.digest.is_none().then(|| "latest".to_owned()));
        same_name && self.tag.as_ref().is_none_or(|wanted| tag(&spec).as_ref() == Some(wanted))
    }
}

/// `nginx` is `docker.io/library/nginx`.
fn full(repository: &str) -> String {
    if repository.is_empty() {
        return String::new();
    }
    match repository.split_once('/') {
        None => format!("{DOCKER}/library/{repository}"),
        Some(("index.docker.io", rest)) => full(rest),
        Some((DOCKER, rest)) if !rest.contains('/') => format!("{DOCKER}/library/{rest}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => repository.to_owned(),
        Some(_) => format!("{DOCKER}/{repository}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    const TWO: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

    fn runs(wanted: &str, image: &str, image_id: Option<&str>) -> bool {
        let image_id = image_id.map(str::to_owned);
        let container =
            Container { name: "c".to_owned(), image: image.to_owned(), image_id, role: crate::Role::default() };
        ImageName::read(wanted).is_run_by(&container)
    }

    #[test]
    fn a_name_is_what_the_runtime_makes_of_it() {
        for (wanted, image, expected) in [
            ("nginx", "nginx:1.27", true),
            ("nginx", "docker.io/library/nginx", true),
            ("docker.io/nginx", "nginx", true),
            ("nginx", "example.com/nginx", false),
            ("nginx:latest", "nginx", true),
            ("nginx:latest", "nginx:1.27", false),
            ("shop/web:1", "docker.io/shop/web:1", true),
            ("registry:5000/web", "registry:5000/web:1", true),
            ("registry:5000/web", "registry:5001/web:1", false),
            ("localhost/web", "localhost/web:2", true),
            ("example.com/shop/web:1", "example.com/shop/web:10", false),
            ("example.com/shop/web", "example.com/shop/web-api", false),
        ] {
            assert_eq!(runs(wanted, image, None), expected, "{wanted} {image}");
        }
    }

    #[test]
    fn a_digest_decides() {
        let id = format!("docker-pullable://example.com/web@{ONE}");
        assert!(runs(&format!("example.com/web@{ONE}"), "example.com/web:1", Some(&id)));
        assert!(runs(ONE, "example.com/web:1", Some(&id)));
        assert!(runs(ONE, &format!("example.com/web@{ONE}"), None));
        assert!(!runs(&format!("example.com/web@{TWO}"), "example.com/web:1", Some(&id)));
        assert!(!runs(&format!("example.com/other@{ONE}"), "example.com/web:1", Some(&id)));
        assert!(runs("example.com/web:1", "example.com/web:1", Some(&id)));
        assert!(!runs("example.com/web:latest", &format!("example.com/web@{ONE}"), None));
    }
}
