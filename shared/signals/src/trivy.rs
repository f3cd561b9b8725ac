//! Trivy Operator: a `VulnerabilityReport`, one per container of a workload ("Trivy Operator: VulnerabilityReport").
//!
//! - Subjects: the workload, from the labels that the operator sets (a name that is too long for a label stands in the
//!   annotation of the same key), and the image, by digest where it is known. Owner references and the report's own
//!   namespace must not contradict the labels. Without labels there is no subject.
//! - Severity: that of the worst vulnerability that the summary counts or the list holds, whichever is worse: neither
//!   alone can call a report clean. The rule is the gravest vulnerability listed.
//! - Reports do not name the cluster: `STANCH_CLUSTER` does.
//! - The incident is `trivy-` and 24 hexadecimal digits over cluster, workload, container and image: the operator deletes
//!   and writes its reports anew at each scan.

use stanch_core::{
    Alert, Result, Severity, Source, Target,
    names::{ImageRef, KubeName, Namespace},
    target::{Cluster, Image},
};

use crate::{
    at::{At, agree},
    kube,
    policy_report::level,
    text::{Notes, incident, plain},
};

/// The kinds of report.
pub(crate) const KINDS: [&str; 1] = ["VulnerabilityReport"];

/// Vulnerabilities of one report that are read.
const MAX_VULNERABILITIES: usize = 10_000;

/// Is it the operator's API group?
pub(crate) fn is_group(version: &str) -> bool {
    version.starts_with("aquasecurity.github.io/")
}

/// One report.
pub(crate) fn alert(object: &At<'_>, cluster: &Cluster) -> Result<Alert> {
    let mut notes = Notes::default();
    let (metadata, report) = (object.get("metadata")?, object.get("report")?);
    if !report.is_present() {
        return Err(report.missing());
    }
    let summary = report.get("summary")?;
    let (told, listed) = (Counts::summary(&summary)?, Counts::listed(&report)?);
    let counts = told.worse(&listed);
    counts.note(&mut notes);
    if summary.is_present() && counts != told {
        notes.add("the summary counts fewer than are listed");
    }
    let is_silent = !summary.is_present() && !report.get("vulnerabilities")?.is_present();
    let labels = Labels::read(&metadata)?;
    let image = image(&report, cluster, &mut notes)?;
    let workload = labels.target(cluster, &mut notes)?;
    let shown = |target: &Option<Target>| target.as_ref().map_or_else(String::new, ToString::to_string);
    let key = incident(
        "trivy",
        &[
            &cluster.to_string(),
            &shown(&workload),
            labels.container.unwrap_or_default(),
            &shown(&image),
            if workload.is_none() { metadata.get("name")?.text()?.unwrap_or_default() } else { "" },
        ],
    )?;
    let mut subjects = Vec::new();
    // An image alone could be anybody's: without the workload nobody knows what to act on.
    if let Some(workload) = workload {
        subjects.push(workload);
        kube::add(&mut subjects, image);
    }
    let updated = report.get("updateTimestamp")?.time()?;
    let time = if updated.is_some() { updated } else { metadata.get("creationTimestamp")?.time()? };
    let id = metadata.get("uid")?.text()?.or(metadata.get("name")?.text()?);
    Ok(Alert {
        id: id.filter(|id| !id.is_empty()).map(plain),
        severity: counts.severity(),
        count: Some(counts.total()),
        first_seen: time,
        last_seen: time,
        subjects,
        inactive: (counts.total() == 0).then(|| {
            let why = if is_silent { "the report counts and lists nothing" } else { "no vulnerability was found" };
            why.to_owned()
        }),
        note: notes.finish(),
        ..Alert::new(key, Source::Trivy, worst(&report)?.unwrap_or_else(|| "VulnerabilityReport".to_owned()))
    })
}

/// Whose container it is.
struct Labels<'a> {
    kind: At<'a>,
    name: At<'a>,
    namespace: At<'a>,
    container: Option<&'a str>,
}

impl<'a> Labels<'a> {
    fn read(metadata: &At<'a>) -> Result<Self> {
        let (labels, notes) = (metadata.get("labels")?, metadata.get("annotations")?);
        let short = labels.get("trivy-operator.resource.name")?;
        let name = if short.is_present() { short } else { notes.get("trivy-operator.resource.name")? };
        let read = Self {
            kind: labels.get("trivy-operator.resource.kind")?,
            name,
            namespace: labels.get("trivy-operator.resource.namespace")?,
            container: labels.get("trivy-operator.container.name")?.text()?,
        };
        let own = metadata.get("namespace")?;
        let in_label = read.namespace.text()?;
        agree([(own, own.text()?), (read.namespace, in_label)])?;
        for owner in metadata.get("ownerReferences")?.items()? {
            if owner.get("controller")?.flag()? == Some(true) {
                let (kind, name) = (owner.get("kind")?, owner.get("name")?);
                agree([(kind, kind.text()?), (read.kind, read.kind.text()?)])?;
                agree([(name, name.text()?), (read.name, read.name.text()?)])?;
            }
        }
        Ok(read)
    }

    fn target(&self, cluster: &Cluster, notes: &mut Notes) -> Result<Option<Target>> {
        let (Some(kind), Some(name), Some(namespace)) =
            (self.kind.text()?, self.name.name::<KubeName>()?, self.namespace.name::<Namespace>()?)
        else {
            notes.add("the labels do not name the workload");
            return Ok(None);
        };
        let resource = format!("{}s", kind.to_ascii_lowercase());
        if resource != "pods" && !kube::WORKLOADS.contains(&resource.as_str()) {
            notes.add("no responder takes this kind of workload");
            return Ok(None);
        }
        Ok(Some(kube::pod_or_workload(cluster, self.kind.parse(kind)?, namespace, name, None)))
    }
}

/// `SERVER/REPOSITORY@DIGEST`, or with the tag.
fn image(report: &At<'_>, cluster: &Cluster, notes: &mut Notes) -> Result<Option<Target>> {
    let artifact = report.get("artifact")?;
    let filled =
        |at: At<'_>| -> Result<Option<String>> { Ok(at.text()?.filter(|text| !text.is_empty()).map(str::to_owned)) };
    let Some(repository) = filled(artifact.get("repository")?)? else {
        notes.add("the report names no image");
        return Ok(None);
    };
    let server = match filled(report.get("registry")?.get("server")?)?.as_deref() {
        None => String::new(),
        // As the container runtimes spell it.
        Some("index.docker.io") => "docker.io/".to_owned(),
        Some(server) => format!("{server}/"),
    };
    let version = match (filled(artifact.get("digest")?)?, filled(artifact.get("tag")?)?) {
        (Some(digest), _) => format!("@{digest}"),
        (None, Some(tag)) => format!(":{tag}"),
        (None, None) => String::new(),
    };
    let image: ImageRef = artifact.get("repository")?.parse(&format!("{server}{repository}{version}"))?;
    Ok(Some(Image { cluster: cluster.clone(), image }.into()))
}

/// Vulnerabilities by severity, the worst first; the last ones are of no known severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts([u64; 6]);

impl Counts {
    const SEVERITIES: [(&str, Option<Severity>); 6] = [
        ("criticalCount", Some(Severity::Critical)),
        ("highCount", Some(Severity::High)),
        ("mediumCount", Some(Severity::Medium)),
        ("lowCount", Some(Severity::Low)),
        ("noneCount", Some(Severity::Info)),
        ("unknownCount", None),
    ];

    /// What the summary counts.
    fn summary(summary: &At<'_>) -> Result<Self> {
        let mut counts = Self::default();
        for (count, (key, _)) in counts.0.iter_mut().zip(Self::SEVERITIES) {
            let at = summary.get(key)?;
            let Some(number) = at.integer()? else { continue };
            *count = u64::try_from(number).map_err(|_| at.wrong("must not be negative"))?;
        }
        Ok(counts)
    }

    /// What is listed.
    fn listed(report: &At<'_>) -> Result<Self> {
        let mut counts = Self::default();
        for item in report.get("vulnerabilities")?.each()? {
            let severity = severity(&item)?;
            let place = counts.0.iter_mut().zip(Self::SEVERITIES).find(|(_, (_, it))| *it == severity);
            if let Some((count, _)) = place {
                *count += 1;
            }
        }
        Ok(counts)
    }

    fn worse(&self, other: &Self) -> Self {
        let mut worse = *self;
        for (count, other) in worse.0.iter_mut().zip(other.0) {
            *count = other.max(*count);
        }
        worse
    }

    fn severity(&self) -> Option<Severity> {
        self.0.iter().zip(Self::SEVERITIES).find(|(count, _)| **count > 0).and_then(|(_, (_, severity))| severity)
    }

    fn total(&self) -> u64 {
        self.0.iter().fold(0, |total, count| total.saturating_add(*count))
    }

    fn note(&self, notes: &mut Notes) {
        for (count, (key, _)) in self.0.iter().zip(Self::SEVERITIES).take(2) {
            if *count > 0 {
                notes.add(format!("{count} {}", key.trim_end_matches("Count")));
            }
        }
    }
}

/// A vulnerability's severity; `UNKNOWN` is none.
fn severity(item: &At<'_>) -> Result<Option<Severity>> {
    Ok(item
        .get("severity")?
        .text()?
        .and_then(|word| if word.eq_ignore_ascii_case("none") { Some(Severity::Info) } else { level(word) }))
}

/// The id of the gravest vulnerability, by severity and then by score.
fn worst(report: &At<'_>) -> Result<Option<String>> {
    let list = report.get("vulnerabilities")?;
    let items = list.items()?;
    if items.len() > MAX_VULNERABILITIES {
        return Err(list.wrong("must hold at most 10,000 vulnerabilities"));
    }
    let mut worst: Option<(Option<Severity>, f64, &str)> = None;
    for item in &items {
        let severity = severity(item)?;
        let score = item.get("score")?.number()?.unwrap_or_default();
        let Some(id) = item.get("vulnerabilityID")?.text()? else { continue };
        if worst.is_none_or(|(grave, points, _)| (severity, score) > (grave, points)) {
            worst = Some((severity, score, id));
        }
    }
    Ok(worst.map(|(_, _, id)| plain(id)))
}

#[cfg(test)]
mod tests;
