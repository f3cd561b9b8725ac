//! An OIDC issuer on loopback, whose tokens may be bad in every known way. The key is made at run time.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::host::{Host, lock};

const KID: &str = "range-1";

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// `exp` an hour ago.
    Expired,
    /// `iat` and `nbf` in an hour.
    NotYetValid,
    /// Another `aud`.
    WrongAudience,
    /// Another `iss`.
    WrongIssuer,
    /// A `kid` that `/certs` does not list.
    UnknownKid,
    /// Signed by another key under our `kid`.
    WrongKey,
    /// Signed as it should be, then the claims were changed.
    Tampered,
    /// `alg: none`, no signature.
    AlgNone,
    /// `alg: HS256` with the public key as the secret.
    Hs256,
    /// No `exp` at all.
    NoExpiry,
}

impl Bad {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Expired,
        Self::NotYetValid,
        Self::WrongAudience,
        Self::WrongIssuer,
        Self::UnknownKid,
        Self::WrongKey,
        Self::Tampered,
        Self::AlgNone,
        Self::Hs256,
        Self::NoExpiry,
    ];
}

struct Key {
    private: EncodingKey,
    public_pem: String,
    jwk: Value,
}

impl Key {
    fn new() -> io::Result<Self> {
        let bad = |what: &str| io::Error::other(format!("no RSA key: {what}"));
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| bad("generate"))?;
        let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| bad("private"))?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| bad("public"))?;
        let private =
            EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).map_err(io::Error::other)?;
        let mut jwk = Jwk::from_encoding_key(&private, Algorithm::RS256).map_err(io::Error::other)?;
        jwk.common.key_id = Some(KID.into());
        let mut jwk = serde_json::to_value(jwk)?;
        if let Some(fields) = jwk.as_object_mut() {
            fields.insert("use".into(), "sig".into());
        }
        Ok(Self { private, public_pem: pem("PUBLIC KEY", public.as_ref()), jwk })
    }
}

/// Keys are slow to make in a debug build: one set per process.
fn keys() -> io::Result<&'static (Key, Key)> {
    static KEYS: OnceLock<Result<(Key, Key), String>> = OnceLock::new();
    let made = KEYS.get_or_init(|| {
        let both = Key::new().and_then(|first| Ok((first, Key::new()?)));
        both.map_err(|error| error.to_string())
    });
    made.as_ref().map_err(|why| io::Error::other(why.clone()))
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A running issuer.
#[derive(Debug)]
pub struct Issuer {
    host: Host,
    fetches: Arc<Mutex<usize>>,
}

impl Issuer {
    /// Starts one on an ephemeral loopback port.
    pub fn start() -> io::Result<Self> {
        let (key, _) = keys()?;
        let fetches = Arc::new(Mutex::new(0));
        let certs = json!({"keys": [key.jwk]}).to_string();
        let counter = Arc::clone(&fetches);
        let serve_certs = get(move || {
            *lock(&counter) += 1;
            let body = certs.clone();
            async move { ([("content-type", "application/json"), ("cache-control", "public, max-age=3600")], body) }
        });
        let configuration = get(|headers: http::HeaderMap| async move {
            let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
            let issuer = format!("http://{host}");
            axum::Json(json!({"issuer": issuer, "jwks_uri": format!("{issuer}/certs"),
                "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"]}))
        });
        let app = axum::Router::new()
            .route("/certs", serve_certs.clone())
            .route("/oauth2/v3/certs", serve_certs)
            .route("/.well-known/openid-configuration", configuration);
        Ok(Self { host: Host::router("oidc", app)?, fetches })
    }

    /// `http://127.0.0.1:PORT`: the `iss` of its tokens.
    pub fn url(&self) -> String {
        self.host.url()
    }

    /// Where the keys are.
    pub fn certs_url(&self) -> String {
        format!("{}/certs", self.url())
    }

    /// How often the keys were fetched.
    pub fn fetches(&self) -> usize {
        *lock(&self.fetches)
    }

    /// A good token: these claims over `iss`, `iat` now and `exp` in an hour.
    pub fn mint(&self, claims: &Value) -> io::Result<String> {
        let (key, _) = keys()?;
        sign(Algorithm::RS256, Some(KID), &self.claims(claims), &key.private)
    }

    /// A token with these claims and one thing wrong.
    pub fn mint_bad(&self, bad: Bad, claims: &Value) -> io::Result<String> {
        let (key, other) = keys()?;
        let now = jiff::Timestamp::now().as_second();
        let mut claims = self.claims(claims);
        let mut set = |name: &str, value: Value| {
            if let Some(fields) = claims.as_object_mut() {
                fields.insert(name.into(), value);
            }
        };
        match bad {
            Bad::Expired => {
                set("iat", (now - 7200).into());
                set("exp", (now - 3600).into());
            }
            Bad::NotYetValid => {
                set("iat", (now + 3600).into());
                set("nbf", (now + 3600).into());
                set("exp", (now + 7200).into());
            }
            Bad::WrongAudience => set("aud", "https://somebody-else.example.com".into()),
            Bad::WrongIssuer => set("iss", "https://accounts.example.com".into()),
            Bad::NoExpiry => {
                if let Some(fields) = claims.as_object_mut() {
                    fields.remove("exp");
                }
            }
            _ => {}
        }
        match bad {
            Bad::UnknownKid => sign(Algorithm::RS256, Some("range-unknown"), &claims, &key.private),
            Bad::WrongKey => sign(Algorithm::RS256, Some(KID), &claims, &other.private),
            Bad::Hs256 => {
                sign(Algorithm::HS256, Some(KID), &claims, &EncodingKey::from_secret(key.public_pem.as_bytes()))
            }
            Bad::AlgNone => {
                let header = json!({"alg": "none", "typ": "JWT", "kid": KID});
                Ok(format!("{}.{}.", encode(&header), encode(&claims)))
            }
            Bad::Tampered => {
                let good = sign(Algorithm::RS256, Some(KID), &claims, &key.private)?;
                let parts: Vec<&str> = good.split('.').collect();
                let [header, _, signature] = parts.as_slice() else { return Err(io::Error::other("no token")) };
                if let Some(fields) = claims.as_object_mut() {
                    fields.insert("email".into(), "attacker@example.com".into());
                }
                Ok(format!("{header}.{}.{signature}", encode(&claims)))
            }
            _ => sign(Algorithm::RS256, Some(KID), &claims, &key.private),
        }
    }

    fn claims(&self, given: &Value) -> Value {
        let now = jiff::Timestamp::now().as_second();
        let mut claims = json!({"iss": self.url(), "sub": "range", "iat": now, "exp": now + 3600});
        if let (Some(fields), Some(given)) = (claims.as_object_mut(), given.as_object()) {
            fields.extend(given.clone());
        }
        claims
    }
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn sign(algorithm: Algorithm, kid: Option<&str>, claims: &Value, key: &EncodingKey) -> io::Result<String> {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).map_err(io::Error::other)
}
