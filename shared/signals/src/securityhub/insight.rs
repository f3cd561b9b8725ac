//! Results of an insight, which a person has sent to a custom action: counts per value of one attribute ("EventBridge
//! event formats for Security Hub CSPM"). Grouped by `ResourceId`, each value is a resource; any other attribute names
//! none.

use stanch_core::{Alert, Result, Source, names::AccountId};

use super::resource::{Resource, read};
use crate::{
    Context,
    at::At,
    aws::Place,
    text::{Notes, incident, plain},
};

/// An alert for each result.
pub(super) fn results(event: &At<'_>, detail: &At<'_>, context: &Context) -> Result<Vec<Result<Alert>>> {
    let insight = detail.get("insightArn")?;
    let arn = insight.required_text()?;
    let rule = plain(detail.get("insightName")?.text()?.unwrap_or("insight"));
    let by_resource = detail.get("resultType")?.text()? == Some("ResourceId");
    let account = event.get("account")?;
    let account: AccountId = account.name()?.ok_or_else(|| account.missing())?;
    let place = Place { account, region: event.get("region")?.name()? };
    let time = event.get("time")?.time()?;
    let mut results = Vec::new();
    for result in detail.get("insightResults")?.each()? {
        for (key, count) in result.entries() {
            let value = key.required_text()?;
            let read = || {
                let mut notes = Notes::default();
                let resource = Resource {
                    kind: kind_of(value),
                    id: key,
                    region: result.absent(),
                    owner: result.absent(),
                    details: result.absent(),
                    image: result.absent(),
                };
                let found = if by_resource {
                    read(&[resource], &place, false, &mut notes)?
                } else {
                    super::resource::Found::default()
                };
                if !by_resource {
                    notes.add("the result names nothing that a responder takes");
                }
                Ok(Alert {
                    count: count.integer()?.and_then(|count| count.try_into().ok()),
                    last_seen: time,
                    first_seen: time,
                    subjects: found.subjects,
                    note: notes.finish(),
                    ..Alert::new(incident("securityhub", &["insight", arn, value])?, Source::SecurityHub, rule.clone())
                })
            };
            results.push(read());
            if results.len() > context.limits.findings {
                return Ok(results);
            }
        }
    }
    Ok(results)
}

/// What kind of resource an ARN names.
fn kind_of(arn: &str) -> &'static str {
    let mut parts = arn.splitn(6, ':').skip(2);
    match (parts.next(), parts.nth(2)) {
        (Some("ec2"), Some(resource)) if resource.starts_with("instance/") => "AwsEc2Instance",
        (Some("iam"), Some(resource)) if resource.starts_with("user/") => "AwsIamUser",
        (Some("iam"), Some(resource)) if resource.starts_with("role/") => "AwsIamRole",
        _ => "",
    }
}
