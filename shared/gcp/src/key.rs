//! Customer-supplied encryption keys (CSEK): given with an order, held while it runs, never printed, logged or
//! recorded.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use google_cloud_compute_v1::model::CustomerEncryptionKey;
use serde::{Deserialize, Deserializer, de::Error as _};
use stanch_core::names::GceName;

/// The key of one disk, as base64: 32 bytes raw, or 256 bytes wrapped with Google's RSA certificate
/// (Compute Engine: "Encrypt disks with customer-supplied encryption keys"). Prefer the wrapped form.
#[derive(Clone)]
pub struct DiskKey(Form);

#[derive(Clone)]
enum Form {
    Raw(String),
    Wrapped(String),
}

impl DiskKey {
    /// Reads base64.
    pub fn parse(text: &str) -> Option<Self> {
        match STANDARD.decode(text).ok()?.len() {
            32 => Some(Self(Form::Raw(text.to_owned()))),
            256 => Some(Self(Form::Wrapped(text.to_owned()))),
            _ => None,
        }
    }

    #[expect(deprecated, reason = "the SDK marks what belongs to customer-supplied keys; disks that have them exist")]
    pub(crate) fn to_model(&self) -> CustomerEncryptionKey {
        let key = CustomerEncryptionKey::new();
        match &self.0 {
            Form::Raw(text) => key.set_raw_key(text),
            Form::Wrapped(text) => key.set_rsa_encrypted_key(text),
        }
    }
}

impl fmt::Debug for DiskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskKey(…)")
    }
}

/// The keys of several disks, by the disks' names.
#[derive(Clone, Default)]
pub struct CsekKeys(BTreeMap<GceName, DiskKey>);

impl CsekKeys {
    /// The key of a disk.
    pub fn of(&self, disk: &GceName) -> Option<&DiskKey> {
        self.0.get(disk)
    }
}

impl fmt::Debug for CsekKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CsekKeys({} of them)", self.0.len())
    }
}

impl<'de> Deserialize<'de> for CsekKeys {
    /// No error repeats what was given: a key in the wrong place must not end up in a log.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bad = || {
            D::Error::custom(
                "csek: must map names of disks to keys in base64, of 32 bytes, or of 256 where wrapped with Google's \
                 RSA certificate",
            )
        };
        let serde_json::Value::Object(given) = serde_json::Value::deserialize(deserializer).map_err(|_| bad())? else {
            return Err(bad());
        };
        given
            .into_iter()
            .map(|(disk, key)| {
                let key = key.as_str().and_then(DiskKey::parse).ok_or_else(bad)?;
                Ok((disk.parse().map_err(|_| bad())?, key))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_errors_nor_debug_show_a_key() {
        let key = STANDARD.encode([7; 32]);
        let keys: CsekKeys = serde_json::from_value(serde_json::json!({"web-1": key})).expect("well formed");
        assert!(!format!("{keys:?} {:?}", keys.of(&"web-1".parse().expect("name"))).contains(&key));
        for bad in [
            serde_json::json!(key),
            serde_json::json!({ key.clone(): "web-1" }),
            serde_json::json!({"web-1": format!("{key}x")}),
            serde_json::json!({"web-1": [key]}),
        ] {
            let error = serde_json::from_value::<CsekKeys>(bad).expect_err("not keys").to_string();
            assert!(error.starts_with("csek") && !error.contains(&key), "{error}");
        }
    }
}
