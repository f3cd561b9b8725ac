//! Google's Pub/Sub emulator: topics, subscriptions, and what is left in them.

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Client;
use serde_json::{Value, json};
use stanch_range::emulator::Emulator;

use crate::support::Outcome;

pub(crate) const TOPIC: &str = "projects/stanch-test/topics/alerts";
pub(crate) const SUBSCRIPTION: &str = "projects/stanch-test/subscriptions/alerts";
pub(crate) const DEAD: &str = "projects/stanch-test/topics/dead";
const DEAD_SUBSCRIPTION: &str = "projects/stanch-test/subscriptions/dead";

/// A running emulator with a topic for alerts and one for what failed for good.
pub(crate) struct PubSub {
    emulator: Emulator,
    client: Client,
}

impl PubSub {
    /// One with a subscription; `None` where the emulator is not installed. It pushes where it is told where to.
    #[expect(clippy::print_stdout, reason = "what the test runner collects")]
    pub(crate) async fn start(push_to: Option<&str>) -> Result<Option<Self>, Box<dyn std::error::Error>> {
        let emulator = match tokio::task::spawn_blocking(Emulator::pubsub).await? {
            Ok(emulator) => emulator,
            Err(why) => {
                println!("skipped: Pub/Sub: {why}");
                return Ok(None);
            }
        };
        let it = Self { emulator, client: Client::new() };
        // It listens before it serves.
        for _ in 0..300 {
            if it.client.get(format!("http://{}/", it.host())).send().await.is_ok() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        for topic in [TOPIC, DEAD] {
            it.client.put(it.url(topic)).json(&json!({})).send().await?.error_for_status()?;
        }
        let push = push_to.map_or(json!({}), |endpoint| json!({ "pushEndpoint": endpoint }));
        for (name, topic, push) in [(SUBSCRIPTION, TOPIC, push), (DEAD_SUBSCRIPTION, DEAD, json!({}))] {
            let body = json!({"topic": topic, "ackDeadlineSeconds": 10, "pushConfig": push});
            it.client.put(it.url(name)).json(&body).send().await?.error_for_status()?;
        }
        Ok(Some(it))
    }

    pub(crate) fn host(&self) -> &str {
        self.emulator.host()
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/v1/{name}", self.host())
    }

    pub(crate) async fn publish(&self, bodies: &[Value]) -> Outcome {
        let message = |body: &Value| json!({"data": BASE64_STANDARD.encode(body.to_string())});
        let messages: Vec<_> = bodies.iter().map(message).collect();
        let call = self.client.post(self.url(&format!("{TOPIC}:publish"))).json(&json!({ "messages": messages }));
        call.send().await?.error_for_status()?;
        Ok(())
    }

    /// What failed for good, and is kept.
    pub(crate) async fn dead(&self) -> Result<Vec<Value>, reqwest::Error> {
        self.pulled(DEAD_SUBSCRIPTION).await
    }

    /// What nobody acknowledged.
    pub(crate) async fn left(&self) -> Result<Vec<Value>, reqwest::Error> {
        let stop = self.client.post(self.url(&format!("{SUBSCRIPTION}:modifyPushConfig")));
        stop.json(&json!({"pushConfig": {}})).send().await?.error_for_status()?;
        tokio::time::sleep(std::time::Duration::from_secs(11)).await;
        self.pulled(SUBSCRIPTION).await
    }

    async fn pulled(&self, subscription: &str) -> Result<Vec<Value>, reqwest::Error> {
        let body = json!({"maxMessages": 10, "returnImmediately": true});
        let call = self.client.post(self.url(&format!("{subscription}:pull"))).json(&body);
        let answer: Value = call.send().await?.json().await?;
        Ok(answer["receivedMessages"].as_array().cloned().unwrap_or_default())
    }
}
