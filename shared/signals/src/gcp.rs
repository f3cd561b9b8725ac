//! What the Google Cloud detectors share: full resource names and the principals behind a call.

use stanch_core::{
    Result, Target,
    names::{ProjectId, ServiceAccountEmail},
    target::{Cluster, GcpServiceAccount, ServiceAccount},
};

use crate::{Context, at::At, kube, text::Notes};

/// Who called, and as whom.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    /// Where the authenticated principal is named, and its e-mail address or Kubernetes user name.
    pub(crate) principal: Option<(At<'a>, &'a str)>,
    /// The service account that it acted as, if it is not its own.
    pub(crate) acted_as: Option<&'a str>,
}

impl<'a> Caller<'a> {
    /// The caller in an audit entry's `authenticationInfo` or a finding's `access`; one that federated has no
    /// `principalEmail` but a `principalSubject`. With a delegation history the first of it is who really called, and
    /// `principalEmail` the service account that was impersonated ("AuditLog": `serviceAccountDelegationInfo` is in the
    /// order of the delegations).
    pub(crate) fn read(info: &At<'a>) -> Result<Self> {
        let at = info.get("principalEmail")?;
        let principal = at.text()?.filter(|text| !text.is_empty());
        let delegations = info.get("serviceAccountDelegationInfo")?.items()?;
        let Some(first) = delegations.first() else {
            let subject = Self::subject(info.get("principalSubject")?)?;
            return Ok(Self { principal: principal.map(|text| (at, text)).or(subject), acted_as: None });
        };
        let party = first.get("firstPartyPrincipal")?.get("principalEmail")?;
        let own = first.get("principalEmail")?;
        for at in [party, own] {
            if let Some(text) = at.text()?.filter(|text| !text.is_empty()) {
                return Ok(Self { principal: Some((at, text)), acted_as: principal });
            }
        }
        Ok(Self { principal: Self::subject(first.get("principalSubject")?)?, acted_as: principal })
    }

    /// `serviceAccount:EMAIL`, `user:EMAIL`, `serviceAccount:PROJECT.svc.id.goog[NAMESPACE/NAME]`, and
    /// `principal://iam.googleapis.com/…/workloadIdentityPools/POOL/subject/SUBJECT`.
    fn subject(at: At<'a>) -> Result<Option<(At<'a>, &'a str)>> {
        let text = at.text()?.filter(|text| !text.is_empty());
        Ok(text.map(|text| (at, text.split_once(':').map_or(text, |(_, name)| name))))
    }

    /// The target that the authenticated principal is, if a responder takes it.
    pub(crate) fn target(
        &self,
        cluster: Option<&Cluster>,
        context: &Context,
        notes: &mut Notes,
    ) -> Result<Option<Target>> {
        let Some((at, text)) = &self.principal else { return Ok(None) };
        // What an outside provider calls its users is theirs to choose, so this form comes first.
        if text.starts_with("//") {
            let parts: Vec<_> = text.splitn(9, '/').skip(4).collect();
            if let [_, "locations", "global", "workloadIdentityPools", rest] = *parts.as_slice()
                && let Some((project, account)) = rest.split_once(".svc.id.goog/subject/ns/")
                && !project.contains('/')
                && let Some(account) = account.split_once("/sa/")
            {
                return workload_identity(at, project, account, cluster, context, notes);
            }
            notes.add("the caller is of an identity provider of its own");
            return Ok(None);
        }
        if let Some((project, account)) = text.split_once(".svc.id.goog[") {
            let account = account.strip_suffix(']').and_then(|it| it.split_once('/'));
            let account = account.ok_or_else(|| at.wrong("must be PROJECT.svc.id.goog[NAMESPACE/NAME]"))?;
            return workload_identity(at, project, account, cluster, context, notes);
        }
        if !text.contains('@') {
            let Some(cluster) = cluster else { return Ok(None) };
            return kube::user_named(at, text, cluster);
        }
        service_account(at, text, notes)
    }
}

/// `PROJECT.svc.id.goog[NAMESPACE/NAME]`, or the subject of that pool: a Kubernetes service account that federated
/// ("GKE: Workload Identity Federation for GKE", identity sameness). The pool is the project's and all of its clusters
/// share it, so the cluster that was called need not be the account's: only the context tells, where the call was not
/// to another cluster.
fn workload_identity(
    at: &At<'_>,
    project: &str,
    (namespace, name): (&str, &str),
    cluster: Option<&Cluster>,
    context: &Context,
    notes: &mut Notes,
) -> Result<Option<Target>> {
    let project: ProjectId = at.parse(project)?;
    let (namespace, name) = (at.parse(namespace)?, at.parse(name)?);
    let of_project = |it: &&Cluster| matches!(it, Cluster::Gke { project: owner, .. } if *owner == project);
    let called = cluster.filter(of_project);
    let ours = context.cluster.as_ref().filter(of_project).filter(|ours| called.is_none_or(|called| called == *ours));
    let Some(cluster) = ours else {
        notes.add("the caller is a Kubernetes service account of a cluster that is not named");
        return Ok(None);
    };
    Ok(Some(ServiceAccount { cluster: cluster.clone(), namespace, name }.into()))
}

/// The Google service account behind an e-mail address ("IAM: Service accounts overview", types of service accounts).
/// A person is none that a responder takes; Google's own agents are none either.
pub(crate) fn service_account(at: &At<'_>, email: &str, notes: &mut Notes) -> Result<Option<Target>> {
    let Some((user, domain)) = email.split_once('@') else { return Ok(None) };
    let Some(owner) = domain.strip_suffix(".gserviceaccount.com") else { return Ok(None) };
    let address: ServiceAccountEmail = at.parse(email)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let project = match owner {
        "appspot" => user.to_owned(),
        "developer" | "cloudservices" => String::new(),
        _ if user.strip_prefix("service-").is_some_and(is_number) => String::new(),
        // A project of a domain, example.com:shop, is spelled shop.example.com here.
        _ => match owner.strip_suffix(".iam").and_then(|owner| owner.split_once('.').or(Some((owner, "")))) {
            Some((id, "")) => id.to_owned(),
            Some((id, domain)) => format!("{domain}:{id}"),
            None => String::new(),
        },
    };
    if project.is_empty() {
        notes.add("the caller is a service account whose address does not name its project");
        return Ok(None);
    }
    Ok(Some(GcpServiceAccount { project: at.parse(&project)?, email: address }.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Limits, document::Document};

    fn shown(info: &serde_json::Value) -> Result<(String, Option<String>)> {
        let context = Context::new("gke:shop-prod/europe-west1/shop".parse().ok(), jiff::Timestamp::UNIX_EPOCH);
        let text = info.to_string();
        let document = Document::read(text.as_bytes(), &Limits::default())?;
        let caller = Caller::read(&document.top())?;
        let target = caller.target(None, &context, &mut Notes::default())?;
        Ok((target.map_or_else(String::new, |it| format!("{} {it}", it.scope())), caller.acted_as.map(str::to_owned)))
    }

    #[test]
    fn a_service_account_names_its_project() -> Result<()> {
        for (email, expected) in [
            ("ci@shop-prod.iam.gserviceaccount.com", "gcp:shop-prod ci@shop-prod.iam.gserviceaccount.com"),
            ("shop-prod@appspot.gserviceaccount.com", "gcp:shop-prod shop-prod@appspot.gserviceaccount.com"),
            (
                "ci@shop-prod.example.com.iam.gserviceaccount.com",
                "gcp:example.com:shop-prod ci@shop-prod.example.com.iam.gserviceaccount.com",
            ),
            ("123456789012-compute@developer.gserviceaccount.com", ""),
            ("service-123456789012@container-engine-robot.iam.gserviceaccount.com", ""),
            ("alice@example.com", ""),
            ("system:anonymous", ""),
            ("", ""),
        ] {
            assert_eq!(shown(&json!({ "principalEmail": email }))?.0, expected, "{email}");
        }
        assert!(shown(&json!({"principalEmail": "../x@shop-prod.iam.gserviceaccount.com"})).is_err());
        assert!(shown(&json!({"principalEmail": 1})).is_err());
        Ok(())
    }

    #[test]
    fn a_federated_caller_has_no_address() -> Result<()> {
        let pools = "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools";
        let cart = "gke:shop-prod/europe-west1/shop serviceaccount/web/cart";
        for (subject, expected) in [
            (format!("{pools}/shop-prod.svc.id.goog/subject/ns/web/sa/cart"), cart),
            (format!("{pools}/other-one.svc.id.goog/subject/ns/web/sa/cart"), ""),
            (format!("{pools}/github/subject/repo:shop/cart:ref:refs/heads/main"), ""),
            (format!("{pools}/github/subject/shop-prod.svc.id.goog[web/cart]"), ""),
            (format!("{pools}/github/subject/shop-prod.svc.id.goog/subject/ns/web/sa/cart"), ""),
            (format!("{pools}/github/subject/ci@shop-prod.iam.gserviceaccount.com"), ""),
            ("serviceAccount:shop-prod.svc.id.goog[web/cart]".to_owned(), cart),
            (
                "serviceAccount:ci@shop-prod.iam.gserviceaccount.com".to_owned(),
                "gcp:shop-prod ci@shop-prod.iam.gserviceaccount.com",
            ),
            ("user:alice@example.com".to_owned(), ""),
            (String::new(), ""),
        ] {
            assert_eq!(shown(&json!({"principalEmail": "", "principalSubject": subject}))?.0, expected, "{subject}");
            // The address says it, where there is one.
            let both = json!({"principalEmail": "alice@example.com", "principalSubject": subject});
            assert_eq!(shown(&both)?.0, "", "{subject}");
        }
        let wrong = format!("{pools}/shop-prod.svc.id.goog/subject/ns/../sa/x");
        assert!(shown(&json!({ "principalSubject": wrong })).is_err());
        Ok(())
    }

    #[test]
    fn who_impersonates_is_the_subject_and_who_is_impersonated_is_not() -> Result<()> {
        let victim = "victim@shop-prod.iam.gserviceaccount.com";
        for (delegation, expected) in [
            (
                json!({"firstPartyPrincipal": {"principalEmail": "thief@shop-prod.iam.gserviceaccount.com"}}),
                "gcp:shop-prod thief@shop-prod.iam.gserviceaccount.com",
            ),
            (json!({"principalEmail": "alice@example.com"}), ""),
            (
                json!({"principalSubject": "serviceAccount:shop-prod.svc.id.goog[web/cart]"}),
                "gke:shop-prod/europe-west1/shop serviceaccount/web/cart",
            ),
            (json!({"principalSubject": "serviceAccount:other-one.svc.id.goog[web/cart]"}), ""),
            (json!({}), ""),
        ] {
            let info = json!({"principalEmail": victim, "serviceAccountDelegationInfo": [delegation]});
            assert_eq!(shown(&info)?, (expected.to_owned(), Some(victim.to_owned())), "{info}");
        }
        Ok(())
    }
}
