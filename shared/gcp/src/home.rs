//! The project that we run in, and what we may do in a project: the two questions that Compute Engine does not answer.

use std::{env, time::Duration};

use google_cloud_auth::credentials::{CacheableResource, Credentials};
use serde::Deserialize;
use stanch_core::{
    Error, Kind, Result,
    names::{ProjectId, ServiceAccountEmail},
};

use crate::clients::{Access, CALL};

/// The metadata server answers in milliseconds or is not there.
const METADATA: Duration = Duration::from_secs(2);
/// Larger answers are not what we asked for.
const MOST: usize = 64 * 1024;

/// `GOOGLE_CLOUD_PROJECT`, else the project of the credentials file, else the metadata server's (Google Cloud: "How
/// Application Default Credentials works"; Compute Engine: "About VM metadata").
pub(crate) async fn project() -> Result<ProjectId> {
    if let Ok(text) = env::var("GOOGLE_CLOUD_PROJECT") {
        return text.trim().parse().map_err(|_| Error::invalid("GOOGLE_CLOUD_PROJECT", ProjectId::RULE));
    }
    if let Some(project) = of_credentials() {
        return Ok(project);
    }
    let unknown = || Error::new(Kind::NotFound, "gcp:project", "own project unknown: set GOOGLE_CLOUD_PROJECT");
    let text = metadata("project/project-id").await.map_err(|error| unknown().because(error.without_url()))?;
    text.and_then(|text| text.trim().parse().ok()).ok_or_else(unknown)
}

fn of_credentials() -> Option<ProjectId> {
    #[derive(Deserialize)]
    struct File {
        project_id: Option<String>,
        quota_project_id: Option<String>,
    }
    let path = env::var_os("GOOGLE_APPLICATION_CREDENTIALS")?;
    let file: File = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    file.project_id.or(file.quota_project_id)?.parse().ok()
}

/// The service account that we run as: of the credentials file, else of the metadata server. None for a person, and
/// where nobody says.
pub(crate) async fn account() -> Option<ServiceAccountEmail> {
    #[derive(Deserialize)]
    struct File {
        client_email: Option<ServiceAccountEmail>,
    }
    if let Some(path) = env::var_os("GOOGLE_APPLICATION_CREDENTIALS") {
        return serde_json::from_slice::<File>(&std::fs::read(path).ok()?).ok()?.client_email;
    }
    // What `gcloud auth application-default login` leaves is a person's.
    let home = env::var_os("HOME").map(std::path::PathBuf::from);
    if home.is_some_and(|home| home.join(".config/gcloud/application_default_credentials.json").exists()) {
        return None;
    }
    let text = metadata("instance/service-accounts/default/email").await.ok()??;
    text.trim().parse().ok()
}

/// What the metadata server says under a path; `None` where another server listens at its address.
async fn metadata(path: &str) -> Result<Option<String>, reqwest::Error> {
    let host = env::var("GCE_METADATA_HOST").unwrap_or_else(|_| "metadata.google.internal".to_owned());
    let Ok(client) = client(METADATA) else { return Ok(None) };
    let answer = client
        .get(format!("http://{host}/computeMetadata/v1/{path}"))
        .header("Metadata-Flavor", "Google")
        .send()
        .await?;
    // Whatever else listens at that address does not send this header back.
    if !answer.status().is_success() || answer.headers().get("metadata-flavor").is_none_or(|flavor| flavor != "Google")
    {
        return Ok(None);
    }
    Ok(body(answer).await.ok().and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// Which of these we have on the project (Resource Manager API: `projects.testIamPermissions`). Snapshots and
/// operations that do not exist yet can only be asked about there.
pub(crate) async fn held(
    access: &Access,
    credentials: &Credentials,
    project: &ProjectId,
    asked: &[&str],
) -> Result<Vec<String>> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer {
        permissions: Vec<String>,
    }
    const TEST: &str = "resourcemanager.projects.testIamPermissions";
    let failed = |kind, what: &str| Error::new(kind, TEST, what).on(format!("projects/{project}"));
    let root = match access {
        Access::Google => "https://cloudresourcemanager.googleapis.com",
        Access::At { endpoint, .. } => endpoint.trim_end_matches('/'),
    };
    let headers = match credentials.headers(http::Extensions::new()).await {
        Ok(CacheableResource::New { data, .. }) => data,
        Ok(CacheableResource::NotModified) => http::HeaderMap::new(),
        Err(error) if error.is_transient() => {
            return Err(failed(Kind::Unavailable, "no credentials now").because(error));
        }
        Err(error) => return Err(failed(Kind::Denied, "no credentials").because(error)),
    };
    let call = client(CALL)?
        .post(format!("{root}/v1/projects/{project}:testIamPermissions"))
        .headers(headers)
        .json(&serde_json::json!({ "permissions": asked }))
        .send();
    let answer = call.await.map_err(|error| failed(Kind::Unavailable, "no answer").because(error.without_url()))?;
    match answer.status().as_u16() {
        200 => serde_json::from_slice::<Answer>(&body(answer).await?)
            .map(|answer| answer.permissions)
            .map_err(|_| failed(Kind::Internal, "the answer does not have the documented form")),
        401 => Err(failed(Kind::Denied, "the credentials were refused")),
        403 => Err(failed(Kind::Denied, "the Cloud Resource Manager API is not enabled, or the project is not ours")),
        404 => Err(failed(Kind::NotFound, "the project does not exist")),
        429 => Err(failed(Kind::Throttled, "too many calls")),
        status => Err(failed(Kind::Unavailable, &format!("no result (HTTP {status})"))),
    }
}

fn client(limit: Duration) -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(limit)
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Error::new(Kind::Internal, "gcp:connect", "the client cannot be built").because(error))
}

async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>> {
    let broken = |what: &str| Error::new(Kind::Unavailable, "gcp:read", what);
    let mut all = Vec::new();
    while let Some(part) =
        answer.chunk().await.map_err(|error| broken("the answer broke off").because(error.without_url()))?
    {
        if all.len() + part.len() > MOST {
            return Err(broken("the answer is too long"));
        }
        all.extend_from_slice(&part);
    }
    Ok(all)
}
