//! Whose finding it is. The account, the region and the partition stand in up to four places (envelope, finding,
//! its ARN, the cluster's ARN); they must all be the same ("Amazon Resource Names", AWS General Reference).

use stanch_core::{
    Result,
    names::{AccountId, EksName, Region},
    target::Cluster,
};

use crate::at::{At, agree};

/// Whose finding it is.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
}

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.
struct Arn<'a> {
    partition: &'a str,
    region: Region,
    account: AccountId,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn read(at: &At<'a>, service: &str) -> Result<Option<Self>> {
        let Some(text) = at.text()? else { return Ok(None) };
        let form = || at.wrong(format!("must be an ARN of {service}"));
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next().ok_or_else(form);
        if part()? != "arn" {
            return Err(form());
        }
        let partition = part()?;
        if part()? != service {
            return Err(form());
        }
        let arn = Self { partition, region: at.parse(part()?)?, account: at.parse(part()?)?, resource: part()? };
        if partition != partition_of(&arn.region) {
            return Err(at.wrong("names a partition that its region is not in"));
        }
        Ok(Some(arn))
    }
}

impl Place {
    /// The place of a finding; every place that is named must be the same one.
    pub(crate) fn read(finding: &At<'_>, finding_id: &str, envelope: Option<&At<'_>>) -> Result<Self> {
        let account = finding.get("accountId")?;
        let region = finding.get("region")?;
        let mut accounts = vec![(account.clone(), account.name()?)];
        let mut regions = vec![(region.clone(), region.name()?)];
        let at_arn = finding.get("arn")?;
        let arn = Arn::read(&at_arn, "guardduty")?;
        if let Some(arn) = &arn {
            // arn:…:detector/DETECTOR/finding/FINDING
            let mut parts = arn.resource.split('/');
            let names = (parts.next(), parts.next().is_some(), parts.next(), parts.next(), parts.next());
            if names != (Some("detector"), true, Some("finding"), Some(finding_id), None) {
                return Err(at_arn.wrong("must be the ARN of this finding"));
            }
        }
        if let Some(arn) = &arn {
            accounts.push((at_arn.clone(), Some(arn.account.clone())));
            regions.push((at_arn.clone(), Some(arn.region.clone())));
        }
        if let Some(envelope) = envelope {
            let (account, region) = (envelope.get("account")?, envelope.get("region")?);
            let (account_id, region_name) = (account.name()?, region.name()?);
            accounts.push((account, account_id));
            regions.push((region, region_name));
        }
        let place = Self {
            account: agree(accounts)?.ok_or_else(|| account.missing())?,
            region: agree(regions)?.ok_or_else(|| region.missing())?,
        };
        let partition = finding.get("partition")?;
        if partition.text()?.is_some_and(|named| named != partition_of(&place.region)) {
            return Err(partition.wrong("is not the partition of the finding's region"));
        }
        Ok(place)
    }

    /// The cluster of `eksClusterDetails`, if its ARN is given.
    pub(crate) fn cluster(&self, details: &At<'_>) -> Result<Option<Cluster>> {
        let at = details.get("arn")?;
        let Some(arn) = Arn::read(&at, "eks")? else { return Ok(None) };
        let name = arn.resource.strip_prefix("cluster/").ok_or_else(|| at.wrong("must be the ARN of a cluster"))?;
        let name: EksName = at.parse(name)?;
        if arn.account != self.account || arn.region != self.region || arn.partition != partition_of(&self.region) {
            return Err(at.wrong("names another account or region than the finding"));
        }
        let named = details.get("name")?;
        let given = named.name::<EksName>()?;
        let name = agree([(at, Some(name)), (named.clone(), given)])?.ok_or_else(|| named.missing())?;
        Ok(Some(Cluster::Eks { account: arn.account, region: arn.region, name }))
    }
}

/// The partition that a region is in ("Amazon Resource Names", AWS General Reference; the isolated ones as in the
/// SDKs' endpoint data).
fn partition_of(region: &Region) -> &'static str {
    const BY_PREFIX: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    let known = BY_PREFIX.iter().find(|(prefix, _)| region.as_str().starts_with(prefix));
    known.map_or("aws", |(_, partition)| partition)
}
