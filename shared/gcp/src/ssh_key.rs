//! A public SSH key in an instance's metadata.
//!
//! `ssh-keys` holds one `USER:KEY` a line; the guest agent makes the user. `instances.setMetadata` replaces all entries, on
//! the condition of a fingerprint: the other entries are sent back as they were. Whoever sets metadata of an instance that
//! runs as a service account must be allowed to act as it. Sources: Compute Engine "Add SSH keys to VMs", "Set and remove
//! custom metadata".

use base64::{Engine, engine::general_purpose::STANDARD};
use google_cloud_compute_v1::model::{Metadata, metadata::Items};
use serde::{Deserialize, Serialize};
use stanch_core::{Error, Result};

use crate::{
    api::GceApi,
    facts::{InstanceRef, entry},
    mark::quote,
    power::{operate, read},
};

const KEYS: &str = "ssh-keys";
/// What OpenSSH and the guest agent take. DSA is refused by both; RSA below 2048 bits by us.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];
/// Length, type, exponent and a modulus of 2048 bits.
const SHORTEST_RSA: usize = 4 + 7 + 4 + 3 + 4 + 257;

/// A user and its public key: one line of `ssh-keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SshKey {
    user: String,
    key: String,
}

impl SshKey {
    /// The user that the guest makes.
    pub fn user(&self) -> &str {
        &self.user
    }

    fn line(&self) -> String {
        format!("{}:{}", self.user, self.key)
    }
}

impl TryFrom<String> for SshKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let bad = |why| Error::invalid("public_key", why);
        let form = "must be USER:TYPE BASE64 [COMMENT] on one line, as in ssh-keys";
        if text.chars().any(char::is_control) || text.len() > 16 * 1024 {
            return Err(bad(form));
        }
        let (user, key) = text.split_once(':').ok_or_else(|| bad(form))?;
        let first = |c: u8| c.is_ascii_lowercase() || c == b'_';
        let more = |c: u8| first(c) || c.is_ascii_digit() || c == b'-';
        if !(1..=32).contains(&user.len()) || !user.bytes().next().is_some_and(first) || !user.bytes().all(more) {
            return Err(bad("the user must be a Linux user name"));
        }
        if user == "root" {
            return Err(bad("the guest agent makes no keys for root"));
        }
        let mut words = key.split(' ');
        let (Some(kind), Some(blob)) = (words.next(), words.next()) else { return Err(bad(form)) };
        if !TYPES.contains(&kind) {
            return Err(bad("the type must be ed25519, ecdsa or rsa, or one of a security key"));
        }
        let bytes = STANDARD.decode(blob).map_err(|_| bad("the key must be base64"))?;
        // RFC 4253: the blob begins with its own type.
        let inner = bytes.split_first_chunk::<4>().map(|(length, rest)| (u32::from_be_bytes(*length) as usize, rest));
        if !inner.is_some_and(|(length, rest)| rest.get(..length) == Some(kind.as_bytes()) && rest.len() > length + 4) {
            return Err(bad("the key is not of the type that it says"));
        }
        if kind == "ssh-rsa" && bytes.len() < SHORTEST_RSA {
            return Err(bad("an RSA key must have 2048 bits or more"));
        }
        Ok(Self { user: user.to_owned(), key: key.trim_end().to_owned() })
    }
}

impl From<SshKey> for String {
    fn from(key: SshKey) -> Self {
        key.line()
    }
}

/// One key of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKeySlot {
    /// The instance.
    pub instance: InstanceRef,
    /// The key.
    pub key: SshKey,
}

impl SshKeySlot {
    pub(crate) async fn look(&self, api: &GceApi) -> Result<(bool, Metadata)> {
        let metadata = read(api, &self.instance).await?.metadata.unwrap_or_default();
        let line = self.key.line();
        let there = entry(&metadata, KEYS).is_some_and(|keys| keys.lines().any(|one| one.trim_end() == line));
        Ok((there, metadata))
    }

    pub(crate) async fn write(&self, set: bool, seen: &Metadata, api: &GceApi) -> Result<()> {
        let line = self.key.line();
        let before = entry(seen, KEYS).unwrap_or_default();
        let mut lines: Vec<&str> = before.lines().filter(|one| one.trim_end() != line).collect();
        if set {
            lines.push(&line);
        }
        let mut items: Vec<Items> =
            seen.items.iter().filter(|item| item.key.as_deref() != Some(KEYS)).cloned().collect();
        if !lines.is_empty() {
            items.push(Items::new().set_key(KEYS).set_value(lines.join("\n")));
        }
        let body = Metadata::new().set_items(items).set_or_clear_fingerprint(seen.fingerprint.clone());
        operate!(api, &self.instance, "compute.instances.setMetadata", set_metadata.set_body(body))
    }

    pub(crate) fn what(&self, set: bool) -> String {
        let verb = if set { "add" } else { "remove" };
        format!("{verb} the SSH key of {} on {}", self.key.user, self.instance.name)
    }

    /// The command of the guide replaces the whole value: the file holds the other keys too.
    pub(crate) fn command(&self, set: bool) -> String {
        let words = self.instance.words();
        let add = format!("gcloud compute instances add-metadata {words} --metadata-from-file=ssh-keys=KEYS");
        if set {
            let line = quote(&self.key.line());
            return format!("# KEYS: every line of the present ssh-keys, and {line}\n{add}");
        }
        format!("# KEYS: every line of the present ssh-keys but that of {}\n{add}", self.key.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    fn key(text: &str) -> Result<SshKey> {
        text.to_owned().try_into()
    }

    #[test]
    fn a_key_is_checked_before_it_lets_anyone_in() {
        for good in [format!("ana:ssh-ed25519 {ED25519}"), format!("ana:ssh-ed25519 {ED25519} ana@example.com")] {
            assert_eq!(String::from(key(&good).expect("a key")), good);
        }
        let blob = |kind: &str, more: usize| {
            let mut bytes = u32::try_from(kind.len()).expect("short").to_be_bytes().to_vec();
            bytes.extend(kind.bytes());
            bytes.extend(vec![7; more]);
            STANDARD.encode(bytes)
        };
        assert!(key(&format!("ana:ssh-rsa {}", blob("ssh-rsa", 268))).is_ok());
        for bad in [
            String::new(),
            format!("ssh-ed25519 {ED25519}"),
            format!("root:ssh-ed25519 {ED25519}"),
            format!("Ana:ssh-ed25519 {ED25519}"),
            format!("ana:ssh-ed25519 {ED25519}\nmallory:ssh-ed25519 {ED25519}"),
            format!("ana:ssh-dss {ED25519}"),
            format!("ana:ecdsa-sha2-nistp256 {ED25519}"),
            "ana:ssh-ed25519 not-base64".to_owned(),
            format!("ana:ssh-rsa {}", blob("ssh-rsa", 140)),
            "ana:ssh-ed25519 AAAA".to_owned(),
        ] {
            let error = key(&bad).expect_err("no key");
            assert_eq!(error.resource(), "public_key", "{bad}");
        }
    }
}
