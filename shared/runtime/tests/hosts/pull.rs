//! Messages of Pub/Sub, pulled and pushed, by Google's own emulator: acknowledged once the record is closed, and not
//! before.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    emulator::{DEAD, PubSub, SUBSCRIPTION},
    support::{Outcome, Place, Process, falco, order},
};

/// A message whose consumer died comes again when its lease ends, after 40 seconds; the ledger's own lease has ended by
/// then. A busy machine and the emulator take their time.
const REDELIVERY: Duration = Duration::from_mins(4);

async fn until(limit: Duration, what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn labels(place: &Place) -> Vec<String> {
    place.labels().into_keys().collect()
}

/// The record of the slow pod is written down, and its change is under way.
fn is_under_way(place: &Place) -> bool {
    std::fs::read_to_string(place.path("ledger")).is_ok_and(|ledger| ledger.contains("slow-1"))
}

async fn two_dead(pubsub: &PubSub, process: &Process) -> Outcome {
    let end = Instant::now() + Duration::from_secs(30);
    let mut dead = Vec::new();
    while dead.len() < 2 && Instant::now() < end {
        dead.extend(pubsub.dead().await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut kinds: Vec<_> = dead.iter().map(|it| it["message"]["attributes"]["kind"].clone()).collect();
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["denied", "invalid"], "{:#?}", process.lines());
    Ok(())
}

#[tokio::test]
async fn a_message_is_acknowledged_once_it_is_dealt_with() -> Outcome {
    let Some(pubsub) = PubSub::start(None).await? else { return Ok(()) };
    let place = Place::new()?;
    let variables = [
        ("STANCH_SUBSCRIPTION", SUBSCRIPTION),
        ("STANCH_DEAD_LETTER", DEAD),
        ("PUBSUB_EMULATOR_HOST", pubsub.host()),
        ("STANCH_MODE", "enforce"),
    ];
    let mut puller = Process::start(&place, &variables, "pulling")?;
    let bodies = [falco("web-1"), falco("web-1"), falco("denied-1"), order("apply", "x", "web-2"), falco("slow-1")];
    pubsub.publish(&bodies).await?;
    two_dead(&pubsub, &puller).await?;
    until(Duration::from_secs(20), "the first label", || !labels(&place).is_empty()).await;

    // What runs is finished, and acknowledged, before it ends.
    puller.terminate()?;
    assert_eq!(puller.wait()?.code(), Some(0));
    assert_eq!(labels(&place), ["slow-1", "web-1"]);
    assert_eq!(pubsub.left().await?, Vec::<Value>::new(), "all were acknowledged");
    Ok(())
}

#[tokio::test]
async fn a_puller_that_dies_before_its_record_is_closed_gets_the_message_again() -> Outcome {
    let Some(pubsub) = PubSub::start(None).await? else { return Ok(()) };
    let place = Place::new()?;
    let variables =
        [("STANCH_SUBSCRIPTION", SUBSCRIPTION), ("PUBSUB_EMULATOR_HOST", pubsub.host()), ("STANCH_MODE", "enforce")];
    let first = Process::start(&place, &variables, "pulling")?;
    pubsub.publish(&[falco("slow-1")]).await?;
    until(Duration::from_secs(20), "the record", || is_under_way(&place)).await;
    // Dropped is killed, at once.
    drop(first);
    assert_eq!(labels(&place), Vec::<String>::new(), "it died in the middle");

    let mut second = Process::start(&place, &variables, "pulling")?;
    until(REDELIVERY, "the label", || labels(&place) == ["slow-1"]).await;
    second.terminate()?;
    assert_eq!(second.wait()?.code(), Some(0));
    assert_eq!(pubsub.left().await?, Vec::<Value>::new(), "it was acknowledged");
    Ok(())
}

#[tokio::test]
async fn what_is_pushed_is_answered_once_it_is_dealt_with_and_comes_again_after_a_crash() -> Outcome {
    // The emulator is told the address before the server has it; nobody else asks for it within the moment.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let Some(pubsub) = PubSub::start(Some(&format!("http://127.0.0.1:{port}/"))).await? else { return Ok(()) };
    let place = Place::new()?;
    let variables = [
        ("PORT", port.as_str()),
        ("STANCH_DEAD_LETTER", DEAD),
        ("PUBSUB_EMULATOR_HOST", pubsub.host()),
        ("STANCH_MODE", "enforce"),
    ];
    let first = Process::start(&place, &variables, "listening")?;
    pubsub.publish(&[falco("web-1"), falco("web-1"), falco("denied-1"), order("apply", "x", "web-2")]).await?;
    two_dead(&pubsub, &first).await?;
    until(Duration::from_secs(20), "the first label", || labels(&place) == ["web-1"]).await;

    pubsub.publish(&[falco("slow-1")]).await?;
    until(Duration::from_secs(20), "the record", || is_under_way(&place)).await;
    drop(first);
    assert_eq!(labels(&place), ["web-1"], "it died in the middle");
    let mut second = Process::start(&place, &variables, "listening")?;
    until(REDELIVERY, "the second label", || labels(&place) == ["slow-1", "web-1"]).await;
    // Its answer, and with it the acknowledgement, comes after the record is closed.
    second.terminate()?;
    assert_eq!(second.wait()?.code(), Some(0));
    assert_eq!(pubsub.left().await?, Vec::<Value>::new(), "all were acknowledged");
    Ok(())
}
