//! Which instance profile an instance has, and who else has it.

use std::{
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_ec2::types::{Filter, IamInstanceProfileAssociation as Described};
use stanch_core::{Error, Kind, Result, names::InstanceId};

use crate::{ec2::Ec2Api, error::classify};

const OPERATION: &str = "ec2:DescribeIamInstanceProfileAssociations";
/// As many as one page has at most (EC2 API Reference).
const PAGE: i32 = 1000;
/// More than so many instances are not counted: the number is for a person to read.
const PAGES: usize = 20;
/// For how long a plan is believed, as by the driver.
const FRESH: Duration = Duration::from_secs(5);

/// A profile as it is associated with an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Associated {
    /// `iip-assoc-…`
    pub association: String,
    /// The profile's ARN.
    pub profile: String,
    /// The instance.
    pub instance: String,
}

/// What a plan has read, and when.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    at: Instant,
    instance: InstanceId,
    found: Option<Associated>,
}

impl Associated {
    fn read(described: &Described) -> Option<Self> {
        Some(Self {
            association: described.association_id()?.to_owned(),
            profile: described.iam_instance_profile()?.arn()?.to_owned(),
            instance: described.instance_id()?.to_owned(),
        })
    }
}

impl Ec2Api {
    /// The instance's profile, as a plan needs to know it. One call, `ec2:DescribeIamInstanceProfileAssociations`.
    ///
    /// # Errors
    /// Whatever EC2 answers, classified.
    pub async fn profile(&self, instance: &InstanceId) -> Result<Option<Associated>> {
        let found = self.profile_now(instance).await?;
        *self.planned() = Some(Planned { at: Instant::now(), instance: instance.clone(), found: found.clone() });
        Ok(found)
    }

    /// The same for a look. The first one after the plan takes what the plan has read: the write names the association,
    /// and EC2 refuses it once there is another.
    pub(crate) async fn profile_of(&self, instance: &InstanceId) -> Result<Option<Associated>> {
        let planned = self.planned().take().filter(|it| it.instance == *instance && it.at.elapsed() < FRESH);
        match planned {
            // Where there is none, nothing would be refused.
            Some(Planned { found: Some(found), .. }) => Ok(Some(found)),
            _ => self.profile_now(instance).await,
        }
    }

    fn planned(&self) -> MutexGuard<'_, Option<Planned>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn profile_now(&self, instance: &InstanceId) -> Result<Option<Associated>> {
        let of = Filter::builder().name("instance-id").values(instance.as_str()).build();
        Ok(self.associations(&[of]).await?.into_iter().find(|it| it.instance == instance.as_str()))
    }

    /// The instances of this account and region that have one of these profiles, by their ARNs. One call a page.
    ///
    /// # Errors
    /// Whatever EC2 answers, classified.
    pub async fn profile_users(&self, profiles: &[String]) -> Result<Vec<String>> {
        let found = self.associations(&[]).await?;
        Ok(found.into_iter().filter(|it| profiles.contains(&it.profile)).map(|it| it.instance).collect())
    }

    /// Those that are associated or about to be: an ended one stays in the list for a while.
    async fn associations(&self, filters: &[Filter]) -> Result<Vec<Associated>> {
        let state = Filter::builder().name("state").values("associating").values("associated").build();
        let (mut found, mut next) = (Vec::new(), None);
        for _ in 0..PAGES {
            let mut call = self.client.describe_iam_instance_profile_associations().filters(state.clone());
            for filter in filters {
                call = call.filters(filter.clone());
            }
            let page = call.max_results(PAGE).set_next_token(next).send().await;
            let page = page.map_err(|error| classify(OPERATION, "", error))?;
            found.extend(page.iam_instance_profile_associations().iter().filter_map(Associated::read));
            match page.next_token().filter(|token| !token.is_empty()) {
                Some(token) => next = Some(token.to_owned()),
                None => return Ok(found),
            }
        }
        let message = format!("there are more than {} instances with a profile", PAGES * 1000);
        Err(Error::new(Kind::Unsupported, OPERATION, message))
    }
}
