//! Policy reports: what Kyverno, kube-bench, the Falco and KubeArmor adapters … found ("Kubernetes Policy Working Group:
//! PolicyReport", versions v1alpha1 to v1beta1 of `wgpolicyk8s.io`, `reports.x-k8s.io`; "OpenReports"; "Kyverno:
//! reports", whose own ephemeral ones keep their results in `spec`).
//!
//! - One alert for each result that is `fail` (`result`, in v1alpha1 `status`). `warn`, `error` (the policy could not be
//!   tried), `skip` and `pass` are none. A report in which nothing failed is one inactive alert, so that it is seen to
//!   have been read.
//! - Subjects: the result's `resources`, else the report's `scope`: pods, workloads, nodes, service accounts. A report
//!   in a namespace accuses nothing in another one; a cluster's report may.
//! - Reports do not name the cluster: `STANCH_CLUSTER` does.
//! - The incident is `policyreport-` and 24 hexadecimal digits over cluster, source, policy, rule and resource: the
//!   engines write their reports anew at each scan.

use jiff::Timestamp;
use stanch_core::{
    Alert, Result, Severity, Source, Target,
    names::{KubeName, KubeUid, Namespace},
    target::{Cluster, ServiceAccount},
};

use crate::{
    at::At,
    kube,
    text::{Notes, incident, plain},
};

/// The kinds of report.
pub(crate) const KINDS: [&str; 10] = [
    "AdmissionReport",
    "BackgroundScanReport",
    "ClusterAdmissionReport",
    "ClusterBackgroundScanReport",
    "ClusterEphemeralReport",
    "ClusterPolicyReport",
    "ClusterReport",
    "EphemeralReport",
    "PolicyReport",
    "Report",
];

/// Results of one report that are read; the engines split theirs at a thousand ("Kyverno: reports, chunking").
const MAX_RESULTS: usize = 1000;
/// Subjects of one alert.
const MAX_SUBJECTS: usize = 25;

/// Is it the API group of reports?
pub(crate) fn is_group(version: &str) -> bool {
    const GROUPS: [&str; 5] =
        ["kyverno.io", "openreports.io", "reports.kyverno.io", "reports.x-k8s.io", "wgpolicyk8s.io"];
    version.split_once('/').is_some_and(|(group, _)| GROUPS.contains(&group))
}

/// The alerts of one report.
pub(crate) fn alerts(report: &At<'_>, cluster: &Cluster) -> Result<Vec<Result<Alert>>> {
    let spec = report.get("spec")?;
    let list = if report.get("results")?.is_present() { report.get("results")? } else { spec.get("results")? };
    let results = list.items()?;
    if results.len() > MAX_RESULTS {
        return Err(list.wrong("must hold at most 1,000 results"));
    }
    let scope = if report.get("scope")?.is_present() { report.get("scope")? } else { spec.get("owner")? };
    let read = Report { object: report, scope, cluster };
    let mut alerts = Vec::new();
    for result in &results {
        match has_failed(result) {
            Ok(true) => alerts.push(read.alert(result)),
            Ok(false) => {}
            Err(error) => alerts.push(Err(error)),
        }
    }
    if alerts.is_empty() {
        alerts.push(read.clean(&results));
    }
    Ok(alerts)
}

/// What a report's results share.
struct Report<'r, 'a> {
    object: &'r At<'a>,
    scope: At<'a>,
    cluster: &'r Cluster,
}

impl Report<'_, '_> {
    fn alert(&self, result: &At<'_>) -> Result<Alert> {
        let mut notes = Notes::default();
        let mut subjects = Vec::new();
        self.subjects(result, &mut subjects, &mut notes)?;
        if subjects.is_empty() {
            notes.add("the result names nothing that a responder takes");
        }
        let policy = result.get("policy")?.text()?.unwrap_or("policy");
        let rule = result.get("rule")?.text()?.unwrap_or_default();
        let source = result.get("source")?.text()?.or(self.object.get("source")?.text()?).unwrap_or_default();
        let resource: Vec<_> = subjects.iter().map(ToString::to_string).collect();
        let (cluster, resource) = (self.cluster.to_string(), resource.join(" "));
        // A result about nothing that we know is told apart by its words.
        let message = if resource.is_empty() { result.get("message")?.text()?.unwrap_or_default() } else { "" };
        let namespace = self.object.get("metadata")?.get("namespace")?.text()?.unwrap_or_default();
        let key = incident("policyreport", &[&cluster, source, namespace, policy, rule, &resource, message])?;
        let time = timestamp(&result.get("timestamp")?)?;
        let time = if time.is_some() { time } else { self.created()? };
        let name = if rule.is_empty() || rule == policy { plain(policy) } else { plain(&format!("{policy}/{rule}")) };
        Ok(Alert {
            id: self.id()?,
            severity: severity(result)?,
            first_seen: time,
            last_seen: time,
            subjects,
            note: notes.finish(),
            ..Alert::new(key, Source::PolicyReport, name)
        })
    }

    /// The one alert of a report in which nothing failed.
    fn clean(&self, results: &[At<'_>]) -> Result<Alert> {
        let mut notes = Notes::default();
        let mut subjects = Vec::new();
        for result in results.iter().take(MAX_SUBJECTS) {
            self.subjects(result, &mut subjects, &mut notes)?;
        }
        if results.is_empty() {
            kube::add(&mut subjects, self.resource(&self.scope)?);
        }
        subjects.truncate(MAX_SUBJECTS);
        notes.add("no result is a failure");
        let metadata = self.object.get("metadata")?;
        let name = metadata.get("name")?.text()?.unwrap_or("report");
        let namespace = metadata.get("namespace")?.text()?.unwrap_or_default();
        let time = self.created()?;
        Ok(Alert {
            id: self.id()?,
            severity: Some(Severity::Info),
            first_seen: time,
            last_seen: time,
            subjects,
            inactive: Some("nothing in the report failed".to_owned()),
            note: notes.finish(),
            ..Alert::new(
                incident("policyreport", &[&self.cluster.to_string(), namespace, name])?,
                Source::PolicyReport,
                plain(name),
            )
        })
    }

    /// The result's resources, else the report's scope.
    fn subjects(&self, result: &At<'_>, subjects: &mut Vec<Target>, notes: &mut Notes) -> Result<()> {
        let list = result.get_one_of(["resources", "subjects"])?;
        let resources = list.items()?;
        if resources.len() > MAX_SUBJECTS {
            return Err(list.wrong("must hold at most 25 resources"));
        }
        for resource in &resources {
            let target = self.resource(resource)?;
            if target.is_none() {
                notes.add("no responder takes this kind of resource");
            }
            kube::add(subjects, target);
        }
        if resources.is_empty() {
            kube::add(subjects, self.resource(&self.scope)?);
        }
        Ok(())
    }

    /// An `ObjectReference`.
    fn resource(&self, at: &At<'_>) -> Result<Option<Target>> {
        let Some(at) = at.section()? else { return Ok(None) };
        let kind = at.get("kind")?;
        let (Some(text), Some(name)) = (kind.text()?, at.get("name")?.text()?) else { return Ok(None) };
        if name.is_empty() {
            return Ok(None);
        }
        if !kube::is_own(at.get("apiVersion")?.text()?) {
            return Ok(None);
        }
        let resource = format!("{}s", text.to_ascii_lowercase());
        let name_at = at.get("name")?;
        let cluster = self.cluster;
        if resource == "nodes" {
            return Ok(name_at.name::<KubeName>()?.map(|name| kube::node(cluster, name)));
        }
        if !["pods", "serviceaccounts"].contains(&resource.as_str()) && !kube::WORKLOADS.contains(&resource.as_str()) {
            return Ok(None);
        }
        let (own, report) = (at.get("namespace")?, self.object.get("metadata")?.get("namespace")?);
        let report_namespace = report.name::<Namespace>()?;
        let namespace = if own.text()?.is_some_and(|text| !text.is_empty()) {
            let named = own.name::<Namespace>()?;
            // Who may write reports in one namespace must not accuse what is in another.
            if report_namespace.is_some() && named != report_namespace && !self.is_of_cluster()? {
                return Err(own.wrong(format!("disagrees with {}", report.path())));
            }
            named
        } else {
            report_namespace
        };
        let (Some(namespace), Some(name)) = (namespace, name_at.name::<KubeName>()?) else { return Ok(None) };
        if resource == "serviceaccounts" {
            return Ok(Some(ServiceAccount { cluster: cluster.clone(), namespace, name }.into()));
        }
        let uid = at.get("uid")?;
        let uid = if uid.text()?.is_some_and(str::is_empty) { None } else { uid.name::<KubeUid>()? };
        Ok(Some(kube::pod_or_workload(cluster, kind.parse(text)?, namespace, name, uid)))
    }

    /// Is it about the whole cluster, whatever namespace it may be kept in?
    fn is_of_cluster(&self) -> Result<bool> {
        Ok(self.object.get("kind")?.text()?.is_some_and(|kind| kind.starts_with("Cluster")))
    }

    fn id(&self) -> Result<Option<String>> {
        let metadata = self.object.get("metadata")?;
        let text = metadata.get("uid")?.text()?.or(metadata.get("name")?.text()?);
        Ok(text.filter(|text| !text.is_empty()).map(plain))
    }

    fn created(&self) -> Result<Option<Timestamp>> {
        self.object.get("metadata")?.get("creationTimestamp")?.time()
    }
}

fn has_failed(result: &At<'_>) -> Result<bool> {
    let at = result.get_one_of(["result", "status"])?;
    match at.text()? {
        None => Ok(false),
        Some(text) => match text.to_ascii_lowercase().as_str() {
            "fail" => Ok(true),
            "pass" | "warn" | "error" | "skip" => Ok(false),
            _ => Err(at.wrong("must be pass, fail, warn, error or skip")),
        },
    }
}

/// The result's own severity; the adapters that came before it keep theirs in `properties`.
fn severity(result: &At<'_>) -> Result<Option<Severity>> {
    let at = result.get("severity")?;
    if let Some(text) = at.text()?.filter(|text| !text.is_empty()) {
        return level(text).map(Some).ok_or_else(|| at.wrong("must be critical, high, medium, low or info"));
    }
    Ok(result.peek(&["properties", "severity"]).and_then(level))
}

/// A severity's word.
pub(crate) fn level(text: &str) -> Option<Severity> {
    const LEVELS: [(&str, Severity); 5] = [
        ("critical", Severity::Critical),
        ("high", Severity::High),
        ("medium", Severity::Medium),
        ("low", Severity::Low),
        ("info", Severity::Info),
    ];
    LEVELS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, severity)| *severity)
}

/// Seconds and nanoseconds; some adapters write the seconds into both, and zero for "not known".
fn timestamp(at: &At<'_>) -> Result<Option<Timestamp>> {
    let Some(at) = at.section()? else { return Ok(None) };
    let seconds = at.get("seconds")?;
    let whole = seconds.integer()?.filter(|whole| *whole > 0);
    whole.map_or(Ok(None), |it| {
        Timestamp::from_second(it).map(Some).map_err(|_| seconds.wrong("must be seconds since 1970"))
    })
}

#[cfg(test)]
mod tests;
