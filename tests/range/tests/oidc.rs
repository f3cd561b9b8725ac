use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use stanch_range::oidc::{Bad, Issuer};

use crate::web::call;

fn check(issuer: &Issuer, keys: &JwkSet, token: &str) -> Result<Value, String> {
    let kid = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?.kid.ok_or("no kid")?;
    let key = DecodingKey::from_jwk(keys.find(&kid).ok_or("unknown kid")?).map_err(|error| error.to_string())?;
    let mut rules = Validation::new(Algorithm::RS256);
    rules.validate_nbf = true;
    rules.set_audience(&["https://stanch.example.com"]);
    rules.set_issuer(&[issuer.url()]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    jsonwebtoken::decode::<Value>(token, &key, &rules).map(|token| token.claims).map_err(|error| error.to_string())
}

#[tokio::test]
async fn good_tokens_pass_and_bad_ones_do_not() {
    let issuer = Issuer::start().unwrap();
    let (_, configuration) =
        call("GET", &format!("{}/.well-known/openid-configuration", issuer.url()), None, None).await;
    assert_eq!(
        (&configuration["issuer"], &configuration["jwks_uri"]),
        (&json!(issuer.url()), &json!(issuer.certs_url()))
    );
    let (_, keys) = call("GET", &issuer.certs_url(), None, None).await;
    assert_eq!(issuer.fetches(), 1);
    let keys: JwkSet = serde_json::from_value(keys).unwrap();
    let claims = json!({"aud": "https://stanch.example.com", "email": "push@acme.iam.gserviceaccount.com", "email_verified": true});
    let good = check(&issuer, &keys, &issuer.mint(&claims).unwrap()).unwrap();
    assert_eq!(good["email"], claims["email"]);
    for bad in Bad::ALL {
        let token = issuer.mint_bad(bad, &claims).unwrap();
        assert!(check(&issuer, &keys, &token).is_err(), "{bad:?} passed");
    }
}
