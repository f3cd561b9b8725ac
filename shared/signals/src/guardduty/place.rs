//! Whose finding it is. The account, the region and the partition stand in up to four places (envelope, finding,
//! its ARN, the cluster's ARN); they must all be the same.
//!
//! Two exceptions are documented: the envelope of a delegated administrator (see [`Place::admits`]), and findings about
//! a global service (IAM), whose own region may differ from the one that GuardDuty looked in (`Finding`: `region`).

use stanch_core::{Result, names::Region};

use crate::{
    Context,
    at::{At, agree},
    aws::{Arn, Place, partition_of},
};

/// The place of a finding; every place that is named must be the same one.
pub(super) fn read(
    finding: &At<'_>,
    finding_id: &str,
    envelope: Option<&At<'_>>,
    context: &Context,
    is_global: bool,
) -> Result<Place> {
    let account = finding.get("accountId")?;
    let region = finding.get("region")?;
    let at_arn = finding.get("arn")?;
    let arn = at_arn.text()?.map(|text| Arn::parse(&at_arn, text, "guardduty")).transpose()?;
    if let Some(arn) = &arn
        && finding_of(arn.resource) != Some(finding_id)
    {
        return Err(at_arn.wrong("must be the ARN of this finding"));
    }
    let of_arn = arn.as_ref().map(|arn| arn.account.clone());
    let mut accounts = vec![(account, account.name()?), (at_arn, of_arn)];
    let own = region.name::<Region>()?;
    let mut regions = vec![(at_arn, arn.and_then(|arn| arn.region))];
    if let Some(envelope) = envelope {
        let region = envelope.get("region")?;
        regions.push((region, region.name()?));
        let at = envelope.get("account")?;
        // Where the finding names no account, the envelope's is meant.
        if accounts.iter().all(|(_, account)| account.is_none()) {
            accounts.push((at, at.name()?));
        }
    }
    let account = agree(accounts)?.ok_or_else(|| account.missing())?;
    if let Some(envelope) = envelope {
        Place::admits(&account, envelope, context)?;
    }
    let looked_in = agree(regions.iter().cloned())?;
    let of_finding = match (&own, &looked_in) {
        (Some(own), Some(looked_in)) if own != looked_in && is_global => None,
        _ => {
            regions.insert(0, (region, own.clone()));
            Some(agree(regions)?.ok_or_else(|| region.missing())?)
        }
    };
    let partition = finding.get("partition")?;
    let of_region = of_finding.as_ref().or(own.as_ref());
    if partition.text()?.is_some_and(|named| of_region.is_some_and(|region| named != partition_of(region))) {
        return Err(partition.wrong("is not the partition of the finding's region"));
    }
    Ok(Place { account, region: of_finding })
}

/// `detector/DETECTOR/finding/FINDING`
pub(crate) fn finding_of(resource: &str) -> Option<&str> {
    let mut parts = resource.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("detector"), Some(_), Some("finding"), Some(finding), None) => Some(finding),
        _ => None,
    }
}
