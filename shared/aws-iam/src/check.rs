//! Whether the permissions are there, without using them. IAM has no `DryRun`, but looks at the permission before the
//! resource: a write to something that is not there is refused for want of the one or of the other.

use aws_sdk_iam::types::StatusType;
use stanch_aws::{check_line, classify};
use stanch_core::{Check, Permission, Permissions, Result, names::AccountId};

use crate::api::IamApi;

/// What nobody has: a name that our policies allow, and a key of the documented form.
const ABSENT: &str = "stanch-check-absent";
const NO_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const NO_POLICY: &str = "arn:aws:iam::aws:policy/stanch-check-absent";
const EMPTY: &str = r#"{"Version":"2012-10-17","Statement":[]}"#;

/// Who we are, and one line a permission.
pub async fn permissions(api: &IamApi, account: &AccountId, needs: &Permissions) -> Vec<Check> {
    let what = "sts:GetCallerIdentity".to_owned();
    let mut lines = vec![match api.caller().await {
        Ok(arn) => Check { what, ok: arn.split(':').nth(4) == Some(account.as_str()), detail: arn },
        Err(error) => Check { what, ok: false, detail: error.to_string() },
    }];
    for permission in needs.plan.iter().chain(needs.apply).chain(needs.revert) {
        let Permission::Aws(action) = permission else { continue };
        if let Some(tried) = attempt(api, action).await {
            lines.push(check_line(action, tried));
        }
    }
    lines
}

/// One action; `None` where it is not one of IAM's calls (`iam:PassRole` is part of another service's call).
pub(crate) async fn attempt(api: &IamApi, action: &str) -> Option<Result<()>> {
    let client = &api.client;
    macro_rules! tried {
        ($call:expr) => {
            $call.send().await.map(drop).map_err(|error| classify(action, ABSENT, error))
        };
    }
    Some(match action {
        "iam:GetRole" => tried!(client.get_role().role_name(ABSENT)),
        "iam:GetUser" => tried!(client.get_user().user_name(ABSENT)),
        "iam:GetAccessKeyLastUsed" => tried!(client.get_access_key_last_used().access_key_id(NO_KEY)),
        "iam:GetInstanceProfile" => tried!(client.get_instance_profile().instance_profile_name(ABSENT)),
        "iam:ListInstanceProfilesForRole" => tried!(client.list_instance_profiles_for_role().role_name(ABSENT)),
        "iam:ListRolePolicies" => tried!(client.list_role_policies().role_name(ABSENT)),
        "iam:ListUserPolicies" => tried!(client.list_user_policies().user_name(ABSENT)),
        "iam:GetRolePolicy" => tried!(client.get_role_policy().role_name(ABSENT).policy_name(ABSENT)),
        "iam:GetUserPolicy" => tried!(client.get_user_policy().user_name(ABSENT).policy_name(ABSENT)),
        "iam:ListAttachedRolePolicies" => tried!(client.list_attached_role_policies().role_name(ABSENT)),
        "iam:ListAttachedUserPolicies" => tried!(client.list_attached_user_policies().user_name(ABSENT)),
        "iam:ListAccessKeys" => tried!(client.list_access_keys().user_name(ABSENT)),
        "iam:PutRolePolicy" => {
            tried!(client.put_role_policy().role_name(ABSENT).policy_name(ABSENT).policy_document(EMPTY))
        }
        "iam:PutUserPolicy" => {
            tried!(client.put_user_policy().user_name(ABSENT).policy_name(ABSENT).policy_document(EMPTY))
        }
        "iam:DeleteRolePolicy" => tried!(client.delete_role_policy().role_name(ABSENT).policy_name(ABSENT)),
        "iam:DeleteUserPolicy" => tried!(client.delete_user_policy().user_name(ABSENT).policy_name(ABSENT)),
        "iam:UpdateAssumeRolePolicy" => {
            tried!(client.update_assume_role_policy().role_name(ABSENT).policy_document(EMPTY))
        }
        "iam:UpdateAccessKey" => {
            tried!(client.update_access_key().user_name(ABSENT).access_key_id(NO_KEY).status(StatusType::Inactive))
        }
        "iam:AttachRolePolicy" => tried!(client.attach_role_policy().role_name(ABSENT).policy_arn(NO_POLICY)),
        "iam:AttachUserPolicy" => tried!(client.attach_user_policy().user_name(ABSENT).policy_arn(NO_POLICY)),
        "iam:DetachRolePolicy" => tried!(client.detach_role_policy().role_name(ABSENT).policy_arn(NO_POLICY)),
        "iam:DetachUserPolicy" => tried!(client.detach_user_policy().user_name(ABSENT).policy_arn(NO_POLICY)),
        _ => return None,
    })
}
