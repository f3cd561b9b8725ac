//! A user: its keys off, and everything denied.

use stanch_aws_iam::{IamSlot, IamState, deny};
use stanch_core::{Change, Plan, Remaining, Result, Scene, names::IamName};

use crate::{AwsContainPrincipal, Slot, cloud::Apis, denied, detached, present};

pub(crate) async fn plan(api: &Apis, scene: &Scene<'_, AwsContainPrincipal>, user: &IamName) -> Result<Plan<Slot>> {
    let mut changes: Vec<Change<Slot>> = Vec::new();
    for (key, active) in api.0.keys(user).await? {
        changes.push(
            Change {
                slot: IamSlot::AccessKey { user: user.clone(), key },
                before: IamState::AccessKey { active },
                after: IamState::AccessKey { active: false },
            }
            .one(),
        );
    }
    let ours = present(api, scene).await?;
    // Long-lived keys have no time of issue, so that only a deny without one reaches them.
    changes.push(denied(api, scene, ours, deny::all(scene.mark), false).await?);
    changes.extend(detached(api, scene.facts, scene.options.detach_policies).await?);
    let objects = changes.len();
    Ok(Plan::empty().over(objects).then(changes).leaving(remaining(user)))
}

fn remaining(user: &IamName) -> Vec<Remaining> {
    vec![
        Remaining::new(format!(
            "the password, the MFA devices and the certificates of user/{user} stay; our policy denies what they give"
        ))
        .next(format!("aws iam delete-login-profile --user-name {user}")),
        Remaining::new(format!(
            "sessions of roles that user/{user} has assumed go on: they are sessions of those roles"
        ))
        .next(
            "aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=AssumeRole, then \
             aws-contain-principal for each"
                .to_owned(),
        ),
        Remaining::new(format!("what user/{user} has made (other users, keys, roles, instances) stays")).next(format!(
            "aws cloudtrail lookup-events --lookup-attributes AttributeKey=Username,AttributeValue={user}"
        )),
    ]
}
