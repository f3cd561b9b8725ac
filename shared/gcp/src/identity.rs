//! What an instance may call itself: its power, which must be off to change it, and the service account on it.
//!
//! The service account of an instance can be changed only while it is stopped (Compute Engine: "Change the attached
//! service account"). Stopping loses memory and the content of local SSDs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stanch_core::{Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot, names::ServiceAccountEmail};

use crate::{api::GceApi, facts::InstanceRef, iam::AccountSlot, power};

/// A guest has 90 seconds to shut down (Compute Engine: "Stop or restart an instance").
const LAG: Duration = Duration::from_mins(2);

/// A place that detaching a service account writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentitySlot {
    /// Whether the instance runs.
    Power(PowerSlot),
    /// The service account that its metadata server hands out tokens of.
    Attached(InstanceRef),
    /// Whether the account itself works.
    Account(AccountSlot),
}

/// Whether an instance runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerSlot {
    /// The instance.
    pub vm: InstanceRef,
    /// It is stopped here; else it is started.
    pub stop: bool,
    /// The content of its local SSDs goes.
    pub discard_local_ssd: bool,
}

/// What a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityState {
    /// Whether the instance runs.
    Power {
        /// It does.
        running: bool,
    },
    /// The service account of the instance.
    Attached {
        /// None: its metadata server hands out no tokens.
        account: Option<ServiceAccountEmail>,
        /// What its tokens are good for at most.
        scopes: Vec<String>,
    },
    /// Whether the account works.
    Account {
        /// It does not.
        disabled: bool,
    },
}

impl Slot for IdentitySlot {
    type Api = GceApi;
    type State = IdentityState;
    type Token = ();

    async fn look(&self, api: &GceApi, _mark: &Mark) -> Result<Seen<Self>> {
        let seen = |state, settling| Seen { state, token: (), ids: Vec::new(), settling };
        Ok(match self {
            Self::Power(slot) => {
                let (running, settling) = power::running(&power::read(api, &slot.vm).await?, &slot.vm)?;
                seen(IdentityState::Power { running }, settling)
            }
            Self::Attached(vm) => {
                let (account, scopes) = power::account(power::read(api, vm).await?, vm)?;
                seen(IdentityState::Attached { account, scopes }, None)
            }
            Self::Account(slot) => {
                seen(IdentityState::Account { disabled: slot.is_disabled(&api.clients.iam).await? }, None)
            }
        })
    }

    async fn write(change: Recorded<'_, Self>, _seen: &Seen<Self>, api: &GceApi) -> Result<()> {
        match (change.slot(), change.to()) {
            (Self::Power(slot), IdentityState::Power { running: true }) => power::start(api, &slot.vm).await,
            (Self::Power(slot), IdentityState::Power { running: false }) => {
                power::stop(api, &slot.vm, slot.discard_local_ssd).await
            }
            (Self::Attached(vm), IdentityState::Attached { account, scopes }) => {
                power::set_account(api, vm, account.as_ref(), scopes).await
            }
            (Self::Account(slot), IdentityState::Account { disabled }) => slot.write(*disabled, &api.clients.iam).await,
            _ => Err(Error::new(Kind::Internal, "gcp:write", "a state of another place")),
        }
    }

    fn what(&self, to: &IdentityState) -> String {
        match (self, to) {
            (Self::Power(slot), IdentityState::Power { running: true }) => format!("start {}", slot.vm.name),
            (Self::Power(slot), _) => format!("stop {}", slot.vm.name),
            (Self::Attached(vm), IdentityState::Attached { account: Some(account), .. }) => {
                format!("make {account} the service account of {}", vm.name)
            }
            (Self::Attached(vm), _) => format!("take the service account off {}", vm.name),
            (Self::Account(slot), to) => slot.what(matches!(to, IdentityState::Account { disabled: true })),
        }
    }

    fn command(&self, to: &IdentityState, _mark: &Mark) -> String {
        match (self, to) {
            (Self::Power(slot), IdentityState::Power { running: true }) => {
                format!("gcloud compute instances start {}", slot.vm.words())
            }
            (Self::Power(slot), _) => {
                let discard = if slot.discard_local_ssd { " --discard-local-ssd=true" } else { "" };
                format!("gcloud compute instances stop {}{discard}", slot.vm.words())
            }
            (Self::Attached(vm), IdentityState::Attached { account: Some(account), scopes }) => format!(
                "gcloud compute instances set-service-account {} --service-account={account} --scopes={}",
                vm.words(),
                scopes.join(",")
            ),
            (Self::Attached(vm), _) => {
                format!("gcloud compute instances set-service-account {} --no-service-account --no-scopes", vm.words())
            }
            (Self::Account(slot), to) => slot.command(matches!(to, IdentityState::Account { disabled: true })),
        }
    }

    fn may_undo(&self, api: &GceApi, made: jiff::Timestamp, now: jiff::Timestamp) -> Result<()> {
        match self {
            Self::Account(slot) => slot.may_enable(api.may_revive(), made, now),
            Self::Power(_) | Self::Attached(_) => Ok(()),
        }
    }

    fn visible_to_attacker(&self) -> bool {
        true
    }

    fn disruption(&self) -> Disruption {
        match self {
            Self::Account(_) => Disruption::Service,
            Self::Power(_) | Self::Attached(_) => Disruption::Node,
        }
    }

    /// Each write says what shall be, so that writing it twice is the same as once.
    fn repeatable(&self) -> bool {
        true
    }

    fn lag(&self) -> Duration {
        match self {
            Self::Power(_) => LAG,
            Self::Attached(_) => Duration::from_secs(30),
            Self::Account(_) => crate::iam::LAG,
        }
    }
}
