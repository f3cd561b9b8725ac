//! Service accounts: whether one works, who may speak as it by Workload Identity, and its keys.
//!
//! Disabling an account refuses its tokens at once, those that exist too; enabling it makes them valid again for as
//! long as they live (IAM: "Disable and enable service accounts", REST reference `serviceAccounts.disable`).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stanch_core::{
    Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot,
    names::{ProjectId, ServiceAccountEmail},
};

use crate::{account::IamApi, mark::quote, rest::Rest};

/// Reads of IAM follow writes within seconds (IAM: "Access change propagation").
pub(crate) const LAG: Duration = Duration::from_secs(30);
/// An access token lives this long, where no organization policy allows longer (IAM: "Token types").
const TOKEN: SignedDuration = SignedDuration::from_hours(1);
/// The role by which Kubernetes and other workloads speak as a service account.
pub const WORKLOAD_IDENTITY_USER: &str = "roles/iam.workloadIdentityUser";

/// A service account, by address and number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSlot {
    /// The project that owns it.
    pub project: ProjectId,
    /// Its address, for people.
    pub email: ServiceAccountEmail,
    /// Its number: another account may get the address later.
    pub unique_id: String,
}

impl AccountSlot {
    pub(crate) fn path(&self) -> String {
        format!("projects/{}/serviceAccounts/{}", self.project, self.unique_id)
    }

    pub(crate) async fn is_disabled(&self, rest: &Rest) -> Result<bool> {
        let found: Value = rest.get("iam.serviceAccounts.get", &self.path()).await?;
        Ok(found.get("disabled").and_then(Value::as_bool).unwrap_or(false))
    }

    pub(crate) async fn write(&self, disabled: bool, rest: &Rest) -> Result<()> {
        let (operation, verb) = if disabled {
            ("iam.serviceAccounts.disable", "disable")
        } else {
            ("iam.serviceAccounts.enable", "enable")
        };
        rest.post(operation, &format!("{}:{verb}", self.path()), None).await.map(|_: Value| ())
    }

    pub(crate) fn what(&self, disabled: bool) -> String {
        format!("{} the service account {}", if disabled { "disable" } else { "enable" }, self.email)
    }

    pub(crate) fn command(&self, disabled: bool) -> String {
        let verb = if disabled { "disable" } else { "enable" };
        format!("gcloud iam service-accounts {verb} {} --project={}", self.email, self.project)
    }

    /// Tokens that the attacker made before live up to an hour, and are accepted again with the account.
    pub(crate) fn may_enable(&self, revive: bool, made: Timestamp, now: Timestamp) -> Result<()> {
        let dead = made.checked_add(TOKEN).unwrap_or(Timestamp::MAX);
        if revive || now >= dead {
            return Ok(());
        }
        Err(Error::refused(format!(
            "enabling {} before {dead} makes tokens valid again that were made before it was disabled: wait, or say so \
             with the option revive_tokens",
            self.email
        )))
    }
}

/// A place that containing a service account writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IamSlot {
    /// Whether the account works.
    Account(AccountSlot),
    /// Who may speak as it by Workload Identity.
    Workloads(AccountSlot),
    /// One of its keys.
    Key {
        /// The account.
        account: AccountSlot,
        /// The key's id.
        id: String,
    },
}

/// What a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IamState {
    /// An account or a key.
    Disabled(bool),
    /// The bindings of [`WORKLOAD_IDENTITY_USER`], in order, whole: a condition stays with its members.
    Bindings(Vec<Value>),
}

/// The policy as it was read, with its etag: what a write is made from and conditional on.
#[derive(Debug, Default)]
pub struct Policy(Value);

impl Slot for IamSlot {
    type Api = IamApi;
    type State = IamState;
    type Token = Policy;

    async fn look(&self, api: &IamApi, _mark: &Mark) -> Result<Seen<Self>> {
        let seen = |state, token| Seen { state, token, ids: Vec::new(), settling: None };
        Ok(match self {
            Self::Account(account) => {
                seen(IamState::Disabled(account.is_disabled(api.rest()).await?), Policy::default())
            }
            Self::Key { account, id } => {
                let path = format!("{}/keys/{id}", account.path());
                let found: Value = api.rest().get("iam.serviceAccountKeys.get", &path).await?;
                let disabled = found.get("disabled").and_then(Value::as_bool).unwrap_or(false);
                seen(IamState::Disabled(disabled), Policy::default())
            }
            Self::Workloads(account) => {
                let policy = policy(api.rest(), account).await?;
                seen(IamState::Bindings(workloads(&policy)), Policy(policy))
            }
        })
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &IamApi) -> Result<()> {
        match (change.slot(), change.to()) {
            (Self::Account(account), IamState::Disabled(disabled)) => account.write(*disabled, api.rest()).await,
            (Self::Key { account, id }, IamState::Disabled(disabled)) => {
                let (operation, verb) = if *disabled {
                    ("iam.serviceAccountKeys.disable", "disable")
                } else {
                    ("iam.serviceAccountKeys.enable", "enable")
                };
                let path = format!("{}/keys/{id}:{verb}", account.path());
                api.rest().post(operation, &path, None).await.map(|_: Value| ())
            }
            (Self::Workloads(account), IamState::Bindings(wanted)) => {
                // Everything else stays as it was read; the etag makes it a conflict if it is not any more.
                let mut policy = seen.token.0.clone();
                let mut bindings: Vec<Value> = list(&policy).filter(|binding| !is_workload(binding)).cloned().collect();
                bindings.extend(wanted.iter().cloned());
                if let Some(fields) = policy.as_object_mut() {
                    fields.insert("bindings".to_owned(), bindings.into());
                }
                let path = format!("{}:setIamPolicy", account.path());
                let body = json!({ "policy": policy });
                api.rest().post("iam.serviceAccounts.setIamPolicy", &path, Some(&body)).await.map(|_: Value| ())
            }
            _ => Err(Error::new(Kind::Internal, "gcp:write", "a state of another place")),
        }
    }

    fn what(&self, to: &IamState) -> String {
        match (self, to) {
            (Self::Account(account), to) => account.what(*to == IamState::Disabled(true)),
            (Self::Key { account, id }, to) => {
                let verb = if *to == IamState::Disabled(true) { "disable" } else { "enable" };
                format!("{verb} the key {id} of {}", account.email)
            }
            (Self::Workloads(account), IamState::Bindings(wanted)) if wanted.is_empty() => {
                format!("let no workload speak as {}", account.email)
            }
            (Self::Workloads(account), _) => format!("let its workloads speak as {} again", account.email),
        }
    }

    fn command(&self, to: &IamState, _mark: &Mark) -> String {
        match (self, to) {
            (Self::Account(account), to) => account.command(*to == IamState::Disabled(true)),
            (Self::Key { account, id }, to) => {
                let verb = if *to == IamState::Disabled(true) { "disable" } else { "enable" };
                let (email, project) = (&account.email, &account.project);
                format!("gcloud iam service-accounts keys {verb} {id} --iam-account={email} --project={project}")
            }
            (Self::Workloads(account), IamState::Bindings(wanted)) => {
                let (email, project) = (&account.email, &account.project);
                let start = format!("gcloud iam service-accounts {{}} {email} --project={project}");
                let role = format!("--role={WORKLOAD_IDENTITY_USER}");
                match members(wanted) {
                    // What is taken away is whatever is there: the role's bindings are edited out of the policy.
                    all if all.is_empty() => {
                        format!("{} # and set it again without {role}", start.replace("{}", "get-iam-policy"))
                    }
                    all => {
                        let add = start.replace("{}", "add-iam-policy-binding");
                        let add = |member: &String| format!("{add} {role} {}", quote(&format!("--member={member}")));
                        all.iter().map(add).collect::<Vec<_>>().join(" && ")
                    }
                }
            }
            (Self::Workloads(account), IamState::Disabled(_)) => account.command(true),
        }
    }

    fn may_undo(&self, api: &IamApi, made: Timestamp, now: Timestamp) -> Result<()> {
        match self {
            Self::Account(account) => account.may_enable(api.may_revive(), made, now),
            Self::Workloads(_) | Self::Key { .. } => Ok(()),
        }
    }

    fn visible_to_attacker(&self) -> bool {
        true
    }

    fn disruption(&self) -> Disruption {
        Disruption::Service
    }

    /// Each write says what shall be, so that writing it twice is the same as once.
    fn repeatable(&self) -> bool {
        true
    }

    fn lag(&self) -> Duration {
        LAG
    }
}

/// The policy of an account, with conditions (version 3).
pub(crate) async fn policy(rest: &Rest, account: &AccountSlot) -> Result<Value> {
    let path = format!("{}:getIamPolicy?options.requestedPolicyVersion=3", account.path());
    rest.post("iam.serviceAccounts.getIamPolicy", &path, None).await
}

fn list(policy: &Value) -> impl Iterator<Item = &Value> {
    policy.get("bindings").and_then(Value::as_array).into_iter().flatten()
}

fn is_workload(binding: &Value) -> bool {
    binding.get("role").and_then(Value::as_str) == Some(WORKLOAD_IDENTITY_USER)
}

/// The bindings by which workloads speak as the account, in an order that does not depend on the service.
pub(crate) fn workloads(policy: &Value) -> Vec<Value> {
    let mut found: Vec<Value> = list(policy).filter(|binding| is_workload(binding)).cloned().collect();
    for binding in &mut found {
        if let Some(members) = binding.get_mut("members").and_then(Value::as_array_mut) {
            members.sort_by_key(ToString::to_string);
        }
    }
    found.sort_by_key(ToString::to_string);
    found
}

/// The members of bindings.
pub(crate) fn members(bindings: &[Value]) -> Vec<String> {
    let of = |binding: &Value| binding.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
    bindings.iter().flat_map(of).filter_map(|member| member.as_str().map(str::to_owned)).collect()
}

/// Who else may become the account, by which role: those who can make tokens or keys of it.
pub(crate) fn others(policy: &Value) -> Vec<(String, Vec<String>)> {
    let ways =
        ["roles/iam.serviceAccountTokenCreator", "roles/iam.serviceAccountKeyAdmin", "roles/iam.serviceAccountUser"];
    ways.iter()
        .map(|way| {
            let of = |binding: &&Value| binding.get("role").and_then(Value::as_str) == Some(*way);
            ((*way).to_owned(), members(&list(policy).filter(of).cloned().collect::<Vec<_>>()))
        })
        .filter(|(_, members)| !members.is_empty())
        .collect()
}

/// The keys that people made, and whether each is disabled. Google's own cannot be disabled, and nobody has them.
pub(crate) async fn keys(rest: &Rest, account: &AccountSlot) -> Result<Vec<(String, bool)>> {
    const LIST: &str = "iam.serviceAccountKeys.list";
    let path = format!("{}/keys?keyTypes=USER_MANAGED", account.path());
    let found = rest.list(LIST, &path, "keys").await?;
    let user_managed = |key: &&Value| key.get("keyType").and_then(Value::as_str) != Some("SYSTEM_MANAGED");
    found
        .iter()
        .filter(user_managed)
        .map(|key| {
            let id = key.get("name").and_then(Value::as_str).and_then(|name| name.rsplit('/').next());
            let id = id.filter(|id| (1..=64).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric()));
            let id =
                id.ok_or_else(|| Error::new(Kind::Internal, LIST, "the answer has no valid id").on(account.path()))?;
            Ok((id.to_owned(), key.get("disabled").and_then(Value::as_bool).unwrap_or(false)))
        })
        .collect()
}
