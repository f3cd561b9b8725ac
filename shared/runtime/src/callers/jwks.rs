//! An issuer's public keys: fetched once, kept as long as the issuer says, asked for again when a token names a key
//! that is not there, and not more often than that is reasonable.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use http::header;
use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use stanch_core::{Error, Kind, Result};
use tokio::sync::{Mutex, OnceCell};

/// Google's answer is about 2 KiB.
const MAX_BYTES: usize = 256 * 1024;
/// For one fetch.
const PATIENCE: Duration = Duration::from_secs(5);
/// A forged token may name any key: its unknown key costs a fetch at most this often.
const BETWEEN: Duration = Duration::from_secs(30);
/// After a fetch that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// Bounds of what an issuer may say about how long to keep its keys. A key that leaks is taken back by its absence.
const LEAST: Duration = Duration::from_mins(1);
const MOST: Duration = Duration::from_hours(24);

/// The keys behind one address.
pub(super) struct Keys {
    url: String,
    client: OnceCell<reqwest::Client>,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: HashMap<String, DecodingKey>,
    fresh_until: Option<Instant>,
    next_try: Option<Instant>,
}

impl Keys {
    pub(super) fn new(url: String) -> Self {
        Self { url, client: OnceCell::new(), cache: Mutex::new(Cache::default()) }
    }

    /// The key of this id; `None` when the issuer has none.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the issuer does not answer.
    pub(super) async fn get(&self, id: &str) -> Result<Option<DecodingKey>> {
        // One at a time: whoever waits finds what the first one fetched.
        let mut cache = self.cache.lock().await;
        let now = Instant::now();
        let fresh = cache.fresh_until.is_some_and(|until| now < until);
        if fresh && let Some(key) = cache.keys.get(id) {
            return Ok(Some(key.clone()));
        }
        if cache.next_try.is_some_and(|next| now < next) {
            return if fresh { Ok(None) } else { Err(self.unavailable("did not answer a moment ago")) };
        }
        cache.next_try = Some(now + AFTER_FAILURE);
        let (keys, keep) = self.fetch().await?;
        *cache = Cache { keys, fresh_until: Some(now + keep), next_try: Some(now + BETWEEN) };
        Ok(cache.keys.get(id).cloned())
    }

    async fn fetch(&self) -> Result<(HashMap<String, DecodingKey>, Duration)> {
        let client = self.client.get_or_try_init(|| async { client().build() }).await;
        let client = client.map_err(|error| self.unavailable("has no client").because(error))?;
        let failed = |error: reqwest::Error| self.unavailable("does not answer").because(error.without_url());
        let mut answer = client.get(&self.url).send().await.map_err(failed)?.error_for_status().map_err(failed)?;
        let keep = answer.headers().get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok()).and_then(max_age);
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if body.len() + part.len() > MAX_BYTES {
                return Err(self.unavailable("answers too much"));
            }
            body.extend_from_slice(&part);
        }
        let set: JwkSet =
            serde_json::from_slice(&body).map_err(|error| self.unavailable("does not answer keys").because(error))?;
        Ok((usable(&set), keep.unwrap_or(LEAST).clamp(LEAST, MOST)))
    }

    fn unavailable(&self, message: &str) -> Error {
        Error::new(Kind::Unavailable, "keys", message).on(self.url.clone())
    }
}

/// A client that asks one address, follows nothing and does not wait for long.
pub(super) fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .connect_timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(1)
}

/// The RSA signature keys of a set.
fn usable(set: &JwkSet) -> HashMap<String, DecodingKey> {
    let for_rs256 = |key: &&jsonwebtoken::jwk::Jwk| {
        matches!(key.algorithm, AlgorithmParameters::RSA(_))
            && key.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature)
            && key.common.key_algorithm.is_none_or(|it| it == KeyAlgorithm::RS256)
    };
    set.keys
        .iter()
        .filter(for_rs256)
        .filter_map(|key| Some((key.common.key_id.clone()?, DecodingKey::from_jwk(key).ok()?)))
        .collect()
}

fn max_age(text: &str) -> Option<Duration> {
    text.split(',').find_map(|part| {
        let seconds = part.trim().to_ascii_lowercase().strip_prefix("max-age=")?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    })
}
