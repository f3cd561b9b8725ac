//! A role: the ways back in closed, and its sessions denied.

use futures::{StreamExt, TryStreamExt, future::try_join3, stream};
use stanch_aws::word;
use stanch_aws_eks::{PodIdentitySlot, PodIdentityState};
use stanch_aws_iam::{IamSlot, IamState, InstanceProfile, Policy, Trust, closed, deny, subject};
use stanch_core::{
    Change, Error, Kind, Plan, Remaining, Result, Scene,
    names::{EksName, IamName, KubeName, Namespace, Region},
};

use crate::{
    AwsContainPrincipal, Slot,
    cloud::Apis,
    denied, detached,
    options::{Deny, ServiceAccountName},
    present,
};

/// The longest that a trust policy can be, once its quota is raised (IAM User Guide: "IAM and AWS STS quotas").
const TRUST: usize = 4096;
/// How many associations are read at once.
const AT_ONCE: usize = 8;

pub(crate) async fn plan(api: &Apis, scene: &Scene<'_, AwsContainPrincipal>, role: &IamName) -> Result<Plan<Slot>> {
    let Scene { options, facts, mark, .. } = scene;
    let written = facts.trust.clone().unwrap_or_else(|| Policy::decode("{}"));
    let trust = Trust::read(&written);
    let (profiles, pods, ours) =
        try_join3(api.0.profiles_of(role), pods(api, scene, &trust), present(api, scene)).await?;
    let only = options.service_account.as_ref();
    let subject = only.map(|account| subject(&account.namespace, &account.name));

    let ways = trust.to_close(subject.as_deref());
    let shut = closed(&written, &ways, mark);
    if shut.size() > TRUST {
        let message = format!("its trust policy would have {} characters, and {TRUST} are the most", shut.size());
        return Err(Error::new(Kind::Unsupported, "plan", message).on(facts.who.to_string()));
    }
    let mut ways_in: Vec<Change<Slot>> = vec![
        Change {
            slot: IamSlot::TrustPolicy { role: role.clone() },
            before: IamState::TrustPolicy { trust: written },
            after: IamState::TrustPolicy { trust: shut },
        }
        .one(),
    ];
    ways_in.extend(pods.found.iter().map(Pod::removal));
    let closes = ways_in.iter().any(|change| change.before != change.after);

    // Who comes by Pod Identity and no other way can be told from everybody else.
    let by_tags = only.filter(|_| ways.is_empty() && !pods.found.is_empty() && options.deny == Deny::Older);
    let bound = ours.as_ref().and_then(deny::bound_of).filter(|_| !closes);
    let (wanted, is_bound) = match (by_tags, options.deny, bound) {
        (Some(account), ..) => (deny::service_account(&account.namespace, &account.name, mark), false),
        (None, Deny::All, _) => (deny::all(mark), false),
        (None, Deny::Older, Some(at)) => (deny::older(at, mark), true),
        (None, Deny::Older, None) => (deny::older(mark.opened, mark), true),
    };
    let policy = denied(api, scene, ours, wanted, is_bound).await?;
    let mut last = detached(api, facts, options.detach_policies).await?;
    let users = trust.count() + profiles.len() + pods.found.len();
    let mut plan = Plan::empty().over(users.max(1));
    if is_bound {
        // A session that comes in before the door is shut is older than the policy, if that is written after.
        last.insert(0, policy);
        plan = plan.then(ways_in).then(last);
    } else {
        ways_in.push(policy);
        ways_in.extend(last);
        plan = plan.then(ways_in);
    }
    let still = Still { trust: &trust, profiles: &profiles, pods: &pods, scene, role };
    Ok(plan.leaving(still.remaining(by_tags)))
}

/// Pod Identity associations that give the role to pods.
#[derive(Default)]
struct Pods {
    found: Vec<Pod>,
    /// Where it was looked for them.
    looked: Vec<String>,
}

struct Pod {
    slot: PodIdentitySlot,
    state: PodIdentityState,
}

impl Pod {
    fn removal(&self) -> Change<Slot> {
        Change { slot: self.slot.clone(), before: self.state.clone(), after: PodIdentityState { association: None } }
            .other()
    }
}

async fn pods(api: &Apis, scene: &Scene<'_, AwsContainPrincipal>, trust: &Trust) -> Result<Pods> {
    let mut pods = Pods::default();
    if !trust.pods {
        return Ok(pods);
    }
    for (region, cluster) in clusters(api, scene).await? {
        pods.looked.push(format!("{region}/{cluster}"));
        let accounts = match &scene.options.service_account {
            Some(ServiceAccountName { namespace, name }) => vec![(namespace.clone(), name.clone())],
            None => api.1.accounts(&region, &cluster).await?,
        };
        let each = accounts.into_iter().map(|(namespace, name)| pod(api, scene, &region, &cluster, namespace, name));
        let each: Vec<_> = each.collect();
        let found: Vec<_> = stream::iter(each).buffered(AT_ONCE).try_collect().await?;
        pods.found.extend(found.into_iter().flatten());
    }
    Ok(pods)
}

async fn clusters(api: &Apis, scene: &Scene<'_, AwsContainPrincipal>) -> Result<Vec<(Region, EksName)>> {
    if let Some(named) = &scene.options.clusters {
        return Ok(named.iter().map(|it| (it.region.clone(), it.name.clone())).collect());
    }
    let Some(region) = api.1.own_region() else {
        let message = "pods may have this role; name their clusters as region/name, for no region is configured";
        return Err(Error::invalid("options.clusters", message));
    };
    Ok(api.1.clusters(&region).await?.into_iter().map(|name| (region.clone(), name)).collect())
}

async fn pod(
    api: &Apis,
    scene: &Scene<'_, AwsContainPrincipal>,
    region: &Region,
    cluster: &EksName,
    namespace: Namespace,
    name: KubeName,
) -> Result<Option<Pod>> {
    let found = api.1.association(region, cluster, &namespace, &name).await?;
    let Some((_, association)) = found.filter(|(_, it)| it.role == scene.facts.arn) else { return Ok(None) };
    let slot = PodIdentitySlot { region: region.clone(), cluster: cluster.clone(), namespace, service_account: name };
    Ok(Some(Pod { slot, state: PodIdentityState { association: Some(association) } }))
}

/// Who can still come in, and what goes on.
struct Still<'a> {
    trust: &'a Trust,
    profiles: &'a [InstanceProfile],
    pods: &'a Pods,
    scene: &'a Scene<'a, AwsContainPrincipal>,
    role: &'a IamName,
}

impl Still<'_> {
    fn remaining(&self, by_tags: Option<&ServiceAccountName>) -> Vec<Remaining> {
        let mut left = Vec::new();
        // Whom everything is denied may come in as often as he likes.
        if self.scene.options.deny == Deny::Older {
            self.ways(&mut left);
        }
        if let Some(account) = by_tags {
            left.push(Remaining::new(format!(
                "only the sessions of {}/{} are denied, by their tags: everybody else's go on",
                account.namespace, account.name
            )));
        }
        left.push(
            Remaining::new(format!(
                "sessions of other roles that role/{} was used to assume go on: they are sessions of those roles",
                self.role
            ))
            .next(
                "aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=AssumeRole, \
                 then aws-contain-principal for each"
                    .to_owned(),
            ),
        );
        left
    }

    fn ways(&self, left: &mut Vec<Remaining>) {
        let Self { trust, profiles, pods, scene, role } = self;
        let (incident, account) = (&scene.mark.incident, &scene.target.account);
        for profile in *profiles {
            left.push(
                Remaining::new(format!(
                    "new sessions possible: by instances with the instance profile {}",
                    profile.name
                ))
                .next(format!(
                    "aws ec2 describe-instances --filters {} --query 'Reservations[].Instances[].InstanceId', then \
                     aws-detach-role apply --incident {incident} --account {account} --region REGION --id ID for each",
                    word(&format!("Name=iam-instance-profile.arn,Values={}", profile.arn)),
                )),
            );
        }
        for who in &trust.aws {
            let next = match who.rsplit_once(":role/").or_else(|| who.rsplit_once(":user/")) {
                Some((_, name)) => {
                    let flag = if who.contains(":role/") { "role" } else { "user" };
                    let name = name.rsplit('/').next().unwrap_or(name);
                    let of = who.split(':').nth(4).unwrap_or(account.as_str());
                    format!("aws-contain-principal apply --incident {incident} --account {of} --{flag} {}", word(name))
                }
                None => format!("aws iam update-assume-role-policy --role-name {role}, or deny=all"),
            };
            left.push(Remaining::new(format!("new sessions possible: by {who}")).next(next));
        }
        let deny_all = || {
            format!(
                "aws-contain-principal apply --incident {incident} --account {account} --role {role} --set deny=all"
            )
        };
        for service in trust.services.iter().chain(&trust.saml) {
            left.push(Remaining::new(format!("new sessions possible: by {service}")).next(deny_all()));
        }
        if trust.pods {
            let looked = if pods.looked.is_empty() { "no cluster".to_owned() } else { pods.looked.join(", ") };
            left.push(
                Remaining::new(format!(
                    "new sessions possible: by pods of clusters that were not looked through ({looked} were)"
                ))
                .next(deny_all()),
            );
        }
        if let Some(account) = &scene.options.service_account {
            let others = trust.web.iter().flat_map(|web| &web.subjects);
            let own = subject(&account.namespace, &account.name);
            for other in others.filter(|other| **other != own) {
                left.push(Remaining::new(format!("new sessions possible: by {other}, which is not accused")));
            }
        }
    }
}
