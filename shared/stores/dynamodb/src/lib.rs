//! The ledger in a DynamoDB table: what the AWS responders use.
//!
//! The table has a hash key `key` (S); an item has `version` (N) and `body` (S). One write is one conditional put,
//! several are one transaction. Reads are strongly consistent. Sources: DynamoDB Developer Guide "Condition
//! expressions", "Read consistency", "Amazon DynamoDB transactions: how it works"; API Reference "`BatchGetItem`",
//! "`TransactWriteItems`".
//!
//! Permissions: `dynamodb:BatchGetItem`, `dynamodb:PutItem`, `dynamodb:ConditionCheckItem`
//! (a transaction is authorised by the actions of its parts).

mod error;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use aws_config::{AppName, BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::{
    Client,
    error::ProvideErrorMetadata,
    types::{AttributeValue, ConditionCheck, KeysAndAttributes, Put, TransactWriteItem},
};
use futures::future::{BoxFuture, FutureExt};
use stanch_core::{Error, Item, Key, Kind, Result, Saved, Store, Write, names::Region};
use tokio::sync::OnceCell;

use crate::error::{canceled, classify};

/// A TCP and TLS handshake within a region takes milliseconds.
const CONNECT: Duration = Duration::from_secs(3);
/// One attempt. Ledger calls take milliseconds, and a lease is 30 seconds: what takes longer has to be seen as lost
/// while the lease still holds. The one retry layer is the driver's.
const ATTEMPT: Duration = Duration::from_secs(5);
/// As many keys `BatchGetItem` takes at once.
const BATCH: usize = 100;
/// As many actions a transaction has.
const TRANSACTION: usize = 100;
/// How often keys that a batch left out are asked for again at once, before the driver is told to slow down.
const ROUNDS: usize = 3;

const KEY: &str = "key";
const VERSION: &str = "version";
const BODY: &str = "body";
/// `key` is a reserved word.
const NAMES: [(&str, &str); 2] = [("#k", KEY), ("#v", VERSION)];

/// A [`Store`] in one table.
#[derive(Debug)]
pub struct Dynamo {
    table: String,
    config: Option<SdkConfig>,
    given: Option<(String, Region, Credentials)>,
    client: OnceCell<Client>,
}

impl Dynamo {
    /// A table, with region and credentials from where the SDK and the CLI read them. Nothing is built or called
    /// before the first use.
    pub fn connect(table: impl Into<String>) -> Self {
        Self { table: table.into(), config: None, given: None, client: OnceCell::new() }
    }

    /// A table, by a configuration that is shared with other clients (and with it their HTTP client).
    pub fn with_config(table: impl Into<String>, config: SdkConfig) -> Self {
        Self { config: Some(config), ..Self::connect(table) }
    }

    /// A table at an endpoint with fixed credentials, e.g. a simulator.
    pub fn with(
        table: impl Into<String>,
        endpoint: impl Into<String>,
        region: Region,
        access_key_id: &str,
        secret_access_key: &str,
    ) -> Self {
        let credentials = Credentials::new(access_key_id, secret_access_key, None, None, "given");
        Self { given: Some((endpoint.into(), region, credentials)), ..Self::connect(table) }
    }

    /// Builds the client, while the host waits for its first event.
    pub async fn warm(&self) {
        self.client().await;
    }

    async fn client(&self) -> &Client {
        self.client
            .get_or_init(|| async {
                let config = match &self.config {
                    Some(config) => config.clone(),
                    None => self.load_config().await,
                };
                // Whoever loaded it: one retry layer, and bounds of our own.
                let timeouts = TimeoutConfig::builder()
                    .connect_timeout(CONNECT)
                    .read_timeout(ATTEMPT)
                    .operation_attempt_timeout(ATTEMPT)
                    .operation_timeout(ATTEMPT)
                    .build();
                let config = aws_sdk_dynamodb::config::Builder::from(&config)
                    .timeout_config(timeouts)
                    .retry_config(RetryConfig::disabled());
                Client::from_conf(config.build())
            })
            .await
    }

    async fn load_config(&self) -> SdkConfig {
        // The behaviour is pinned: an SDK update must not change how calls are made.
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        if let Ok(name) = AppName::new("stanch") {
            loader = loader.app_name(name);
        }
        if let Some((endpoint, region, credentials)) = &self.given {
            loader = loader
                .endpoint_url(endpoint)
                .region(aws_config::Region::new(region.to_string()))
                .credentials_provider(credentials.clone());
        }
        loader.load().await
    }

    /// At most [`BATCH`] keys, each once: DynamoDB refuses a repeated one.
    async fn batch(&self, keys: &BTreeSet<&str>, found: &mut HashMap<String, Item>) -> Result<()> {
        const OPERATION: &str = "dynamodb:BatchGetItem";
        let asked = keys.iter().map(|key| HashMap::from([(KEY.to_owned(), AttributeValue::S((*key).to_owned()))]));
        let mut request =
            KeysAndAttributes::builder().set_keys(Some(asked.collect())).consistent_read(true).build().map_err(
                |error| Error::new(Kind::Internal, OPERATION, "the request could not be made").because(error),
            )?;
        for _ in 0..ROUNDS {
            let answer = self
                .client()
                .await
                .batch_get_item()
                .request_items(&self.table, request)
                .send()
                .await
                .map_err(|error| classify(OPERATION, &self.table, error))?;
            for attributes in answer.responses().and_then(|tables| tables.get(&self.table)).into_iter().flatten() {
                if let Some(Ok(key)) = attributes.get(KEY).map(AttributeValue::as_s) {
                    found.insert(key.clone(), item(attributes, OPERATION, &self.table)?);
                }
            }
            // An answer may be partial: 16 MB, or no capacity left.
            match answer.unprocessed_keys.and_then(|mut tables| tables.remove(&self.table)) {
                Some(rest) if !rest.keys().is_empty() => request = rest,
                _ => return Ok(()),
            }
        }
        Err(Error::new(Kind::Throttled, OPERATION, "keys were left out again and again").on(&self.table))
    }

    async fn put(&self, write: &Write, body: &str) -> Result<Saved> {
        let (condition, names, values) = condition(write.expected);
        let put = self
            .client()
            .await
            .put_item()
            .table_name(&self.table)
            .set_item(Some(attributes(write, body)))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(values)
            .send()
            .await;
        match put {
            Ok(_) => Ok(Saved::Done),
            Err(error)
                if error.as_service_error().and_then(|error| error.code())
                    == Some("ConditionalCheckFailedException") =>
            {
                Ok(Saved::Moved)
            }
            Err(error) => Err(classify("dynamodb:PutItem", &self.table, error)),
        }
    }

    async fn transact(&self, writes: &[Write]) -> Result<Saved> {
        const OPERATION: &str = "dynamodb:TransactWriteItems";
        if writes.len() > TRANSACTION {
            let message = format!("{} writes at once, and {TRANSACTION} are possible", writes.len());
            return Err(Error::new(Kind::Internal, OPERATION, message).on(&self.table));
        }
        let parts = writes.iter().map(|write| self.part(write)).collect::<Result<Vec<_>>>()?;
        let written = self.client().await.transact_write_items().set_transact_items(Some(parts)).send().await;
        match written {
            Ok(_) => Ok(Saved::Done),
            Err(error) => match error.as_service_error() {
                Some(cause) if cause.is_transaction_canceled_exception() => canceled(cause, OPERATION, &self.table),
                _ => Err(classify(OPERATION, &self.table, error)),
            },
        }
    }

    fn part(&self, write: &Write) -> Result<TransactWriteItem> {
        let (condition, names, values) = condition(write.expected);
        let part = if let Some(body) = &write.body {
            let put = Put::builder()
                .table_name(&self.table)
                .set_item(Some(attributes(write, body)))
                .condition_expression(condition)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(values);
            put.build().map(|put| TransactWriteItem::builder().put(put).build())
        } else {
            let check = ConditionCheck::builder()
                .table_name(&self.table)
                .key(KEY, AttributeValue::S(write.key.as_str().to_owned()))
                .condition_expression(condition)
                .set_expression_attribute_names(Some(names))
                .set_expression_attribute_values(values);
            check.build().map(|check| TransactWriteItem::builder().condition_check(check).build())
        };
        part.map_err(|error| {
            Error::new(Kind::Internal, "dynamodb:TransactWriteItems", "the request could not be made").because(error)
        })
    }
}

impl Store for Dynamo {
    /// Each item is the newest; several are not of one moment. A save that names their versions is what proves that
    /// they still belong together.
    fn load<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Item>>>> {
        async move {
            let distinct: Vec<&str> = keys.iter().map(Key::as_str).collect::<BTreeSet<_>>().into_iter().collect();
            let mut found = HashMap::new();
            for batch in distinct.chunks(BATCH) {
                self.batch(&batch.iter().copied().collect(), &mut found).await?;
            }
            Ok(keys.iter().map(|key| found.get(key.as_str()).cloned()).collect())
        }
        .boxed()
    }

    fn save<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Result<Saved>> {
        async move {
            match writes {
                [] => Ok(Saved::Done),
                [write] if write.body.is_some() => self.put(write, write.body.as_deref().unwrap_or_default()).await,
                several => self.transact(several).await,
            }
        }
        .boxed()
    }
}

/// Condition, names and values for "it is at this version" or "it is not there".
type Condition = (&'static str, HashMap<String, String>, Option<HashMap<String, AttributeValue>>);

fn condition(expected: Option<u64>) -> Condition {
    let name = |(alias, name): (&str, &str)| (alias.to_owned(), name.to_owned());
    // A name or value that the expression does not use is refused.
    let [key, version] = NAMES.map(name);
    match expected {
        None => ("attribute_not_exists(#k)", HashMap::from([key]), None),
        Some(at) => {
            let values = HashMap::from([(":v".to_owned(), AttributeValue::N(at.to_string()))]);
            ("#v = :v", HashMap::from([version]), Some(values))
        }
    }
}

fn attributes(write: &Write, body: &str) -> HashMap<String, AttributeValue> {
    HashMap::from([
        (KEY.to_owned(), AttributeValue::S(write.key.as_str().to_owned())),
        (VERSION.to_owned(), AttributeValue::N(write.version().to_string())),
        (BODY.to_owned(), AttributeValue::S(body.to_owned())),
    ])
}

fn item(attributes: &HashMap<String, AttributeValue>, operation: &str, table: &str) -> Result<Item> {
    let version = attributes.get(VERSION).and_then(|value| value.as_n().ok()).and_then(|text| text.parse().ok());
    let body = attributes.get(BODY).and_then(|value| value.as_s().ok());
    match (version, body) {
        (Some(version), Some(body)) => Ok(Item { version, body: body.clone() }),
        _ => {
            Err(Error::new(Kind::Internal, operation, "an item is not of the ledger: it has no version or body")
                .on(table))
        }
    }
}
