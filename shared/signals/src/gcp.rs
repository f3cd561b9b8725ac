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
    /// The caller in an audit entry's `authenticationInfo` or a finding's `access`. With a delegation history the
    /// first of it is who really called, and `principalEmail` the service account that was impersonated ("AuditLog":
    /// `serviceAccountDelegationInfo` is in the order of the delegations).
    pub(crate) fn read(info: &At<'a>) -> Result<Self> {
        let at = info.get("principalEmail")?;
        let principal = at.text()?.filter(|text| !text.is_empty());
        let delegations = info.get("serviceAccountDelegationInfo")?.items()?;
        let Some(first) = delegations.first() else {
            return Ok(Self { principal: principal.map(|text| (at, text)), acted_as: None });
        };
        let party = first.get("firstPartyPrincipal")?.get("principalEmail")?;
        let own = first.get("principalEmail")?;
        let subject = first.get("principalSubject")?;
        for at in [party, own] {
            if let Some(text) = at.text()?.filter(|text| !text.is_empty()) {
                return Ok(Self { principal: Some((at, text)), acted_as: principal });
            }
        }
        // serviceAccount:EMAIL, user:EMAIL, serviceAccount:PROJECT.svc.id.goog[NAMESPACE/NAME].
        let text = subject.text()?.map(|text| text.split_once(':').map_or(text, |(_, name)| name));
        Ok(Self { principal: text.map(|text| (subject, text)), acted_as: principal })
    }

    /// The target that the authenticated principal is, if a responder takes it.
    pub(crate) fn target(
        &self,
        cluster: Option<&Cluster>,
        context: &Context,
        notes: &mut Notes,
    ) -> Result<Option<Target>> {
        let Some((at, text)) = &self.principal else { return Ok(None) };
        if let Some((pool, account)) = text.split_once(".svc.id.goog[") {
            return workload_identity(at, pool, account, cluster, context, notes);
        }
        if !text.contains('@') {
            let Some(cluster) = cluster else { return Ok(None) };
            return kube::user_named(at, text, cluster);
        }
        service_account(at, text, notes)
    }
}

/// `PROJECT.svc.id.goog[NAMESPACE/NAME]`: a Kubernetes service account that federated ("GKE: Workload Identity
/// Federation for GKE", identity sameness). The pool is the project's and all of its clusters share it, so the cluster
/// that was called need not be the account's: only the context tells, where the call was not to another cluster.
fn workload_identity(
    at: &At<'_>,
    pool: &str,
    account: &str,
    cluster: Option<&Cluster>,
    context: &Context,
    notes: &mut Notes,
) -> Result<Option<Target>> {
    let form = || at.wrong("must be PROJECT.svc.id.goog[NAMESPACE/NAME]");
    let project: ProjectId = at.parse(pool)?;
    let (namespace, name) = account.strip_suffix(']').and_then(|it| it.split_once('/')).ok_or_else(form)?;
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
