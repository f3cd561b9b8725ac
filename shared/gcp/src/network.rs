//! The places by which an instance is cut off and reached: its tags, the firewall rules that aim at them, its SSH keys.

use google_cloud_compute_v1::model::{Metadata, Tags};
use serde::{Deserialize, Serialize};
use stanch_core::{Disruption, Error, Kind, Mark, Recorded, Result, Seen, Slot};

use crate::{
    api::GceApi,
    firewall::{FirewallSlot, Rule},
    ssh_key::SshKeySlot,
    tag::{TagSlot, seen},
};

/// A place that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkSlot {
    /// A network tag.
    Tag(TagSlot),
    /// A firewall rule.
    Firewall(FirewallSlot),
    /// A line of `ssh-keys`.
    SshKey(SshKeySlot),
}

/// What a place holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkState {
    /// Whether the tag or the key is there.
    Set(bool),
    /// The rule, if it is there.
    Rule(Option<Box<Rule>>),
}

impl NetworkState {
    fn is_set(&self) -> bool {
        *self == Self::Set(true)
    }

    fn rule(&self) -> Option<&Rule> {
        match self {
            Self::Rule(rule) => rule.as_deref(),
            Self::Set(_) => None,
        }
    }
}

/// What makes a write conditional on what was seen.
#[derive(Debug)]
pub enum NetworkToken {
    /// The tags and their fingerprint.
    Tags(TagsToken),
    /// The metadata and its fingerprint.
    Metadata(MetadataToken),
    /// Whether there is a rule to be replaced.
    Rule(bool),
}

/// Seen by the wing only.
#[derive(Debug)]
pub struct TagsToken(pub(crate) Tags);

/// Seen by the wing only. Its values may be secrets.
pub struct MetadataToken(pub(crate) Metadata);

impl std::fmt::Debug for MetadataToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MetadataToken({} entries)", self.0.items.len())
    }
}

impl Slot for NetworkSlot {
    type Api = GceApi;
    type State = NetworkState;
    type Token = NetworkToken;

    async fn look(&self, api: &GceApi, _mark: &Mark) -> Result<Seen<Self>> {
        Ok(match self {
            Self::Tag(slot) => {
                let (set, tags) = slot.look(api).await?;
                seen(NetworkState::Set(set), NetworkToken::Tags(TagsToken(tags)), Vec::new())
            }
            Self::Firewall(slot) => {
                let rule = slot.look(api).await?;
                let (there, ids) = (rule.is_some(), rule.iter().map(|_| slot.name.to_string()).collect());
                seen(NetworkState::Rule(rule.map(Box::new)), NetworkToken::Rule(there), ids)
            }
            Self::SshKey(slot) => {
                let (set, metadata) = slot.look(api).await?;
                seen(NetworkState::Set(set), NetworkToken::Metadata(MetadataToken(metadata)), Vec::new())
            }
        })
    }

    async fn write(change: Recorded<'_, Self>, seen: &Seen<Self>, api: &GceApi) -> Result<()> {
        let to = change.to();
        match (change.slot(), &seen.token) {
            (Self::Tag(slot), NetworkToken::Tags(TagsToken(tags))) => slot.write(to.is_set(), tags, api).await,
            (Self::Firewall(slot), NetworkToken::Rule(there)) => {
                slot.write(to.rule(), *there, change.mark(), api).await
            }
            (Self::SshKey(slot), NetworkToken::Metadata(MetadataToken(metadata))) => {
                slot.write(to.is_set(), metadata, api).await
            }
            _ => Err(Error::new(Kind::Internal, "gcp:write", "what was seen is of another place")),
        }
    }

    fn what(&self, to: &NetworkState) -> String {
        match self {
            Self::Tag(slot) => slot.what(to.is_set()),
            Self::Firewall(slot) => slot.what(to.rule()),
            Self::SshKey(slot) => slot.what(to.is_set()),
        }
    }

    fn command(&self, to: &NetworkState, mark: &Mark) -> String {
        match self {
            Self::Tag(slot) => slot.command(to.is_set()),
            Self::Firewall(slot) => slot.command(to.rule(), mark),
            Self::SshKey(slot) => slot.command(to.is_set()),
        }
    }

    fn shared(&self) -> Option<NetworkState> {
        match self {
            Self::Firewall(_) => Some(NetworkState::Rule(None)),
            Self::Tag(slot) => slot.shared.then_some(NetworkState::Set(false)),
            Self::SshKey(_) => None,
        }
    }

    fn visible_to_attacker(&self) -> bool {
        match self {
            // The metadata server shows tags and keys to everything on the instance.
            Self::Tag(_) | Self::SshKey(_) => true,
            Self::Firewall(_) => false,
        }
    }

    fn disruption(&self) -> Disruption {
        match self {
            Self::Tag(slot) if slot.cuts => Disruption::Node,
            _ => Disruption::None,
        }
    }
}
