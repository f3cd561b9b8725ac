//! What the detectors of AWS share: ARNs, whose finding it is, and the resources that they name. The same thing named
//! in several places must be the same ("Amazon Resource Names", AWS General Reference).

use stanch_core::{
    Result, Target,
    names::{AccountId, EksName, IamName, IamUniqueId, InstanceId, Region},
    target::{Cluster, Ec2Instance, IamPrincipal, IamWho},
};

use crate::{
    Context,
    at::{At, agree},
    text::Notes,
};

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`. IAM's have no region.
#[derive(Debug)]
pub(crate) struct Arn<'a> {
    pub(crate) region: Option<Region>,
    pub(crate) account: AccountId,
    pub(crate) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// The ARN that a text is, or `None` where it is no ARN at all.
    pub(crate) fn read(at: &At<'a>, service: &str) -> Result<Option<Self>> {
        match at.text()? {
            Some(text) if text.starts_with("arn:") => Self::parse(at, text, service).map(Some),
            _ => Ok(None),
        }
    }

    /// An ARN of a service.
    pub(crate) fn parse(at: &At<'_>, text: &'a str, service: &str) -> Result<Self> {
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
        let region = match part()? {
            "" if service == "iam" => None,
            text => Some(at.parse::<Region>(text)?),
        };
        let arn = Self { region, account: at.parse(part()?)?, resource: part()? };
        let is_right = match &arn.region {
            Some(region) => partition == partition_of(region),
            None => PARTITIONS.contains(&partition),
        };
        if is_right { Ok(arn) } else { Err(at.wrong("names a partition that its region is not in")) }
    }
}

/// Whose finding it is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) account: AccountId,
    /// `None` where the finding's places name several: one about a global service (IAM).
    pub(crate) region: Option<Region>,
}

impl Place {
    /// May an envelope of this account hold a finding of that one? GuardDuty and Security Hub give a delegated
    /// administrator the findings of its members, as events of its own account in which only the finding names the
    /// member ("Processing GuardDuty findings with Amazon EventBridge", multi-account environments). Which accounts
    /// are administrators only the operator can say: anyone else's event about somebody else's resource is refused.
    pub(crate) fn admits(account: &AccountId, envelope: &At<'_>, context: &Context) -> Result<()> {
        let at = envelope.get("account")?;
        match at.name::<AccountId>()? {
            Some(of_envelope) if of_envelope != *account && !context.detector_accounts.contains(&of_envelope) => {
                Err(at.wrong(
                    "is not the finding's account: if it is a delegated administrator, STANCH_DETECTOR_ACCOUNTS must \
                     name it",
                ))
            }
            _ => Ok(()),
        }
    }

    /// An instance here.
    pub(crate) fn instance(&self, id: InstanceId, notes: &mut Notes) -> Option<Target> {
        let Some(region) = self.region.clone() else {
            notes.add("the finding names two regions, so where the instance is cannot be told");
            return None;
        };
        Some(Ec2Instance { account: self.account.clone(), region, id }.into())
    }

    /// The cluster that an ARN and a name are of.
    pub(crate) fn cluster(&self, at: &At<'_>, named: &At<'_>) -> Result<Option<Cluster>> {
        let Some(text) = at.text()? else { return Ok(None) };
        let arn = Arn::parse(at, text, "eks")?;
        let name = arn.resource.strip_prefix("cluster/").ok_or_else(|| at.wrong("must be the ARN of a cluster"))?;
        let name: EksName = at.parse(name)?;
        let Some(region) = arn.region else { return Err(at.wrong("must be the ARN of a cluster")) };
        if arn.account != self.account || self.region.as_ref().is_some_and(|here| *here != region) {
            return Err(at.wrong("names another account or region than the finding"));
        }
        let given = named.name::<EksName>()?;
        let name = agree([(*at, Some(name)), (*named, given)])?.ok_or_else(|| named.missing())?;
        Ok(Some(Cluster::Eks { account: arn.account, region, name }))
    }

    /// A user or role here, by the name and unique id that detectors give. The session name behind the colon of a
    /// principal id is chosen by whoever assumes the role.
    pub(crate) fn principal(
        &self,
        kind: Option<&str>,
        name: &At<'_>,
        principal_id: &At<'_>,
        notes: &mut Notes,
    ) -> Result<Option<Target>> {
        let (of_name, prefix): (fn(IamName) -> IamWho, _) = match kind {
            Some("IAMUser") => (IamWho::User, "AIDA"),
            Some("Role" | "AssumedRole") => (IamWho::Role, "AROA"),
            Some("Root") => {
                notes.add("the root user cannot be contained: change its password and delete its keys");
                return Ok(None);
            }
            _ => {
                notes.add("the caller is neither a user nor a role");
                return Ok(None);
            }
        };
        let unique_id = match principal_id.text()?.map(|id| id.split(':').next().unwrap_or_default()) {
            None | Some("") => None,
            Some(id) => Some(principal_id.parse::<IamUniqueId>(id)?).filter(|id| id.as_str().starts_with(prefix)),
        };
        let Some(name) = name.name::<IamName>()? else {
            notes.add("the finding does not name the caller");
            return Ok(None);
        };
        Ok(Some(IamPrincipal { account: self.account.clone(), who: of_name(name), unique_id }.into()))
    }

    /// The user or role that an ARN of IAM names: `role/PATH/NAME`.
    pub(crate) fn iam(&self, at: &At<'_>, text: &str, notes: &mut Notes) -> Result<Option<Target>> {
        let arn = Arn::parse(at, text, "iam")?;
        if arn.account != self.account {
            return Err(at.wrong("names another account than the finding"));
        }
        let (kind, path) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
        let of_name: fn(IamName) -> IamWho = match kind {
            "user" => IamWho::User,
            "role" => IamWho::Role,
            "root" => {
                notes.add("the root user cannot be contained: change its password and delete its keys");
                return Ok(None);
            }
            _ => {
                notes.add("no responder takes this type of resource");
                return Ok(None);
            }
        };
        let name = at.parse(path.rsplit('/').next().unwrap_or_default())?;
        Ok(Some(IamPrincipal { account: arn.account, who: of_name(name), unique_id: None }.into()))
    }
}

/// The instance id that stands behind a role's session: EC2 names the session of an instance's role after the
/// instance.
pub(crate) fn instance_session<'a>(principal_id: &At<'a>) -> Result<Option<&'a str>> {
    let session = principal_id.text()?.and_then(|text| text.split_once(':')).map(|(_, session)| session);
    Ok(session.filter(|session| session.starts_with("i-")))
}

/// Adds a user or role once, with its unique id if any place gives one.
pub(crate) fn add_principal(subjects: &mut Vec<Target>, subject: Option<Target>) {
    let Some(Target::IamPrincipal(new)) = subject else { return };
    let known = subjects.iter_mut().find_map(|it| match it {
        Target::IamPrincipal(it) if it.account == new.account && it.who == new.who => Some(it),
        _ => None,
    });
    match known {
        Some(known) if known.unique_id.is_none() => known.unique_id = new.unique_id,
        Some(known) if new.unique_id.is_none() || known.unique_id == new.unique_id => {}
        // The same name at two times: two principals.
        _ => subjects.push(new.into()),
    }
}

const PARTITIONS: [&str; 8] =
    ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"];

/// The partition that a region is in ("Amazon Resource Names", AWS General Reference; the isolated ones as in the
/// SDKs' endpoint data).
pub(crate) fn partition_of(region: &Region) -> &'static str {
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
