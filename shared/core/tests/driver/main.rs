//! The driver's promises, tried with every call as the last one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs, unreachable_pub, reason = "a test")]

mod together;
mod world;

use std::{sync::Arc, time::Duration};

use stanch_core::{
    AfterRevert, DoneState, Exemption, Guard, Kind, Limits, Mode, Request, Status, Undo, brake, set_brake,
};
use world::{MemoryStore, Shared, When, driver, event, node, order, with_guard};

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn apply_then_again_then_revert() {
    let room = Shared::new();
    let driver = driver(&room);
    let report = assert_send(driver.run(&order(&room, Mode::Apply, "inc-1"))).await;
    assert_eq!(report.status, Status::Applied, "{report:?}");
    assert_eq!(room.all(), [0, 0, 0]);
    assert_eq!(room.writes(), 3);
    assert_eq!(report.remaining[0].what, "the room");

    let again = driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    assert_eq!((again.status, again.record.clone()), (Status::Already, report.record.clone()));
    assert_eq!((room.writes(), room.records()), (3, 1));

    let Undo::Order(undo) = again.undo else { panic!("no undo: {:?}", again.undo) };
    let back = driver.run(&Request { order: *undo, ..order(&room, Mode::Revert, "inc-1") }).await;
    assert_eq!(back.status, Status::Reverted, "{back:?}");
    assert_eq!(room.all(), [1, 2, 3]);
    let twice = driver.run(&order(&room, Mode::Revert, "inc-1")).await;
    assert_eq!(twice.status, Status::Already);
}

#[tokio::test]
async fn a_revert_that_a_slot_refuses_leaves_everything_as_it_is() {
    let room = Shared::new();
    let driver = driver(&room);
    driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    room.sealed.store(true, std::sync::atomic::Ordering::SeqCst);
    let no = driver.run(&order(&room, Mode::Revert, "inc-1")).await;
    assert_eq!((no.status, no.reason.as_deref()), (Status::Refused, Some("refused: not within the hour")), "{no:?}");
    assert_eq!(room.all(), [0, 0, 0]);
    assert_eq!(driver.run(&order(&room, Mode::Apply, "inc-1")).await.status, Status::Already, "it is not half undone");
    room.advance(Duration::from_hours(1));
    assert_eq!(driver.run(&order(&room, Mode::Revert, "inc-1")).await.status, Status::Reverted);
    assert_eq!(room.all(), [1, 2, 3]);
}

#[tokio::test]
async fn killed_at_any_call_the_next_run_converges_and_revert_restores() {
    let mut reached_the_end = 0;
    for when in [When::Before, When::After] {
        for at in 0..60 {
            let room = Shared::new();
            let driver = driver(&room);
            let mut request = order(&room, Mode::Apply, "inc-1");
            request.order.options = serde_json::json!({"photo": true});
            let first = room.run_killed(driver.run(&request), at, when).await;
            reached_the_end += usize::from(first.is_some());
            room.advance(Duration::from_secs(31));
            let next = Request { id: "next".to_owned(), ..request.clone() };
            let report = driver.run(&next).await;
            assert!(matches!(report.status, Status::Applied | Status::Already), "{at} {when:?}: {report:?}");
            assert_eq!(room.all(), [0, 0, 0, 1], "{at} {when:?}");
            assert_eq!(room.records(), 1, "{at} {when:?}");

            let back = room.run_killed(driver.run(&order(&room, Mode::Revert, "inc-1")), at, when).await;
            room.advance(Duration::from_secs(31));
            let again = driver.run(&order(&room, Mode::Revert, "inc-1")).await;
            assert!(matches!(again.status, Status::Reverted | Status::Already), "{at} {when:?}: {back:?} {again:?}");
            assert_eq!(room.all(), [1, 2, 3, 1], "{at} {when:?}: the dials are back, the photo is kept");
        }
    }
    assert!(reached_the_end > 0, "60 calls are not enough to reach the end of a run");
}

#[tokio::test]
async fn killed_twice_in_a_row() {
    for first in 0..14 {
        for second in 0..14 {
            let room = Shared::new();
            let driver = driver(&room);
            for at in [first, second] {
                room.run_killed(driver.run(&order(&room, Mode::Apply, "inc-1")), at, When::After).await;
                room.advance(Duration::from_secs(31));
            }
            let report = driver.run(&order(&room, Mode::Apply, "inc-1")).await;
            assert!(matches!(report.status, Status::Applied | Status::Already), "{first} {second}: {report:?}");
            assert_eq!(driver.run(&order(&room, Mode::Revert, "inc-1")).await.status, Status::Reverted);
            assert_eq!(room.all(), [1, 2, 3], "{first} {second}");
        }
    }
}

#[tokio::test]
async fn a_crash_before_the_end_can_be_reverted_at_once() {
    for at in 0..14 {
        let room = Shared::new();
        let driver = driver(&room);
        room.run_killed(driver.run(&order(&room, Mode::Apply, "inc-1")), at, When::After).await;
        room.advance(Duration::from_secs(31));
        driver.run(&order(&room, Mode::Revert, "inc-1")).await;
        assert_eq!(room.all(), [1, 2, 3], "{at}");
    }
}

#[tokio::test]
async fn a_live_lease_answers_try_again_and_its_owner_takes_it_back() {
    let room = Shared::new();
    let driver = driver(&room);
    let request = order(&room, Mode::Apply, "inc-1");
    room.run_killed(driver.run(&request), 6, When::After).await;
    let other = driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    assert!(other.wants_retry() && other.status == Status::Failed, "{other:?}");
    let revert = driver.run(&order(&room, Mode::Revert, "inc-1")).await;
    assert!(revert.wants_retry(), "{revert:?}");
    assert_eq!(driver.run(&request).await.status, Status::Applied);
}

#[tokio::test]
async fn fifty_at_once_make_one_record_and_each_write_once() {
    let room = Shared::new();
    let driver = Arc::new(driver(&room));
    let runs: Vec<_> = (0..50)
        .map(|_| {
            let (driver, request) = (Arc::clone(&driver), order(&room, Mode::Apply, "inc-1"));
            tokio::spawn(async move { driver.run(&request).await })
        })
        .collect();
    let mut applied = 0;
    for run in runs {
        let report = run.await.unwrap();
        applied += usize::from(report.status == Status::Applied);
        assert!(report.status != Status::Failed || report.wants_retry(), "{report:?}");
    }
    assert_eq!((applied, room.records(), room.writes()), (1, 1, 3));
}

#[tokio::test]
async fn two_incidents_hold_one_target() {
    let room = Shared::new();
    let driver = driver(&room);
    driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    let second = driver.run(&order(&room, Mode::Apply, "inc-2")).await;
    assert_eq!(second.status, Status::Already);
    assert_eq!(second.reason.as_deref(), Some("held with inc-1"));
    let first = driver.run(&order(&room, Mode::Revert, "inc-1")).await;
    assert_eq!((first.status, first.exit_code()), (Status::Refused, 3));
    assert!(first.reason.unwrap().contains("still held by inc-2"));
    assert_eq!(room.all(), [0, 0, 0]);
    assert_eq!(driver.run(&order(&room, Mode::Revert, "inc-2")).await.status, Status::Reverted);
    assert_eq!(room.all(), [1, 2, 3]);
}

#[tokio::test]
async fn lost_containment_is_brought_back_and_the_first_before_restored() {
    let room = Shared::new();
    let driver = driver(&room);
    let first = driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    room.turn("a", 9);
    let again = driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    assert_eq!((again.status, &again.record), (Status::Applied, &first.record));
    assert_eq!(room.all(), [0, 0, 0]);
    driver.run(&order(&room, Mode::Revert, "inc-1")).await;
    assert_eq!(room.all(), [1, 2, 3]);
}

#[tokio::test]
async fn drift_is_left_and_named_and_the_rest_undone() {
    let room = Shared::new();
    let driver = driver(&room);
    driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    room.turn("b", 7);
    let back = driver.run(&order(&room, Mode::Revert, "inc-1")).await;
    assert_eq!((back.status, back.error), (Status::Partial, Some(Kind::Conflict)), "{back:?}");
    assert_eq!(room.all(), [1, 7, 3]);
    let left = back.changes.iter().find(|change| change.state == DoneState::Skipped).unwrap();
    assert!(left.error.as_ref().unwrap().contains("expected 0, found 7"), "{left:?}");
    // Once it is what we left again, the same order finishes.
    room.turn("b", 0);
    assert_eq!(driver.run(&order(&room, Mode::Revert, "inc-1")).await.status, Status::Reverted);
    assert_eq!(room.all(), [1, 2, 3]);
}

#[tokio::test]
async fn what_somebody_else_had_done_is_not_undone() {
    let room = Shared::new();
    room.turn("a", 0);
    let driver = driver(&room);
    driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    driver.run(&order(&room, Mode::Revert, "inc-1")).await;
    assert_eq!(room.all(), [0, 2, 3]);
}

#[tokio::test]
async fn new_activity_after_a_revert_alarms_or_applies_and_old_is_refused() {
    for (policy, status) in [(AfterRevert::Alarm, Status::Refused), (AfterRevert::Apply, Status::Applied)] {
        let room = Shared::new();
        let driver = with_guard(&room, Guard { after_revert: policy, ..Guard::default() });
        let seen = room.now();
        assert_eq!(driver.run(&event(&room, "inc-1", seen)).await.status, Status::Applied);
        room.advance(Duration::from_mins(1));
        driver.run(&order(&room, Mode::Revert, "inc-1")).await;
        room.advance(Duration::from_mins(1));

        let old = driver.run(&event(&room, "inc-1", seen)).await;
        assert_eq!(old.status, Status::Refused);
        assert!(old.reason.unwrap().contains("reverted by anna"));
        assert_eq!(room.all(), [1, 2, 3]);
        let new = driver.run(&event(&room, "inc-1", room.now())).await;
        assert_eq!(new.status, status, "{new:?}");
        // A person means it, whatever the policy.
        let person = driver.run(&order(&room, Mode::Apply, "inc-1")).await;
        assert!(matches!(person.status, Status::Applied | Status::Already));
        assert_eq!(room.records(), 2, "the reverted record is kept beside the new one");
    }
}

#[tokio::test]
async fn a_copied_order_does_not_contain_again_what_was_reverted() {
    let room = Shared::new();
    let driver = driver(&room);
    let mut request = order(&room, Mode::Apply, "inc-1");
    request.caller.proved_at = Some(room.now());
    driver.run(&request).await;
    room.advance(Duration::from_secs(5));
    driver.run(&order(&room, Mode::Revert, "inc-1")).await;
    let replay = driver.run(&Request { id: "replay".to_owned(), ..request.clone() }).await;
    assert_eq!(replay.status, Status::Refused, "{replay:?}");
    assert_eq!(room.all(), [1, 2, 3]);
    request.caller.proved_at = Some(room.now() + jiff::SignedDuration::from_secs(1));
    request.id = "fresh".to_owned();
    assert_eq!(driver.run(&request).await.status, Status::Applied);
}

#[tokio::test]
async fn the_brake_stops_every_write() {
    let room = Shared::new();
    let driver = driver(&room);
    let store = MemoryStore(Arc::clone(&room));
    driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    set_brake(&store, true, "ben", room.now()).await.unwrap();
    assert!(brake(&store).await.unwrap().unwrap().on);
    let before = (room.all(), room.writes(), room.item("record"));
    for mode in [Mode::Apply, Mode::Revert, Mode::Plan] {
        let mut other = order(&room, mode, "inc-1");
        let report = driver.run(&other).await;
        assert!(matches!(report.status, Status::Planned | Status::Already), "{report:?}");
        other.order.target = node("n2");
        driver.run(&other).await;
    }
    assert_eq!(before, (room.all(), room.writes(), room.item("record")));
    set_brake(&store, false, "ben", room.now()).await.unwrap();
    assert_eq!(driver.run(&order(&room, Mode::Revert, "inc-1")).await.status, Status::Reverted);
}

#[tokio::test]
async fn the_brake_set_in_the_middle_stops_before_the_next_stage() {
    let room = Shared::new();
    let driver = driver(&room);
    let store = MemoryStore(Arc::clone(&room));
    // Killed in the first stage; the brake comes on before the run that resumes begins the second.
    room.run_killed(driver.run(&order(&room, Mode::Apply, "inc-1")), 4, When::After).await;
    room.advance(Duration::from_secs(31));
    set_brake(&store, true, "ben", room.now()).await.unwrap();
    let writes = room.writes();
    let report = driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    assert_eq!((report.status, room.writes()), (Status::Planned, writes));
    assert!(report.reason.unwrap().contains("the brake is on"));
}

#[tokio::test]
async fn observe_and_plan_write_nothing() {
    let room = Shared::new();
    let observing = driver(&room).observing(true);
    let report = observing.run(&order(&room, Mode::Apply, "inc-1")).await;
    assert_eq!((report.status, report.changes.len()), (Status::Planned, 3));
    assert_eq!(driver(&room).run(&order(&room, Mode::Plan, "inc-1")).await.status, Status::Planned);
    assert_eq!((room.all(), room.records(), room.writes()), (vec![1, 2, 3], 0, 0));
}

#[tokio::test]
async fn the_sixth_target_in_ten_minutes_is_refused() {
    let room = Shared::new();
    let driver = driver(&room);
    let apply = async |name: &str| {
        room.turn("a", 1);
        let mut request = order(&room, Mode::Apply, "inc-1");
        request.order.target = node(name);
        driver.run(&request).await
    };
    for name in ["n1", "n2", "n3", "n4", "n5", "n5"] {
        assert_eq!(apply(name).await.status, Status::Applied, "{name}");
    }
    let sixth = apply("n6").await;
    assert_eq!((sixth.status, room.dial("a")), (Status::Refused, 1), "{sixth:?}");
    room.advance(Duration::from_secs(601));
    assert_eq!(apply("n6").await.status, Status::Applied);

    let raised = Guard {
        limits: [("zero".to_owned(), Limits { per_ten_minutes: 50, per_day: 50, ..Limits::default() })].into(),
        ..Guard::default()
    };
    let driver = with_guard(&room, raised);
    for number in 10..30 {
        room.turn("a", 1);
        let mut request = order(&room, Mode::Apply, "inc-1");
        request.order.target = node(&format!("n{number}"));
        assert_eq!(driver.run(&request).await.status, Status::Applied, "{number}");
    }
}

#[tokio::test]
async fn what_the_guard_refuses_changes_nothing() {
    let room = Shared::new();
    let now = room.now();
    let hour = jiff::SignedDuration::from_hours(1);
    let guards = [
        Guard { clusters: Some(vec![]), ..Guard::default() },
        Guard { clusters: Some(vec!["context:other".to_owned()]), ..Guard::default() },
        Guard { exempt: vec!["node/n1".to_owned()], ..Guard::default() },
        Guard { severity_floor: Some(stanch_core::Severity::Critical), ..Guard::default() },
    ];
    for guard in guards {
        let report = with_guard(&room, guard.clone()).run(&event(&room, "inc-1", now)).await;
        assert_eq!((report.status, report.exit_code()), (Status::Refused, 3), "{guard:?}");
    }
    let driver = driver(&room);
    for seen in [now - hour * 7, now + hour] {
        assert_eq!(driver.run(&event(&room, "inc-1", seen)).await.status, Status::Planned);
    }
    *room.exempt.lock().unwrap() = vec![Exemption { mark: "label".to_owned(), forgeable: false }];
    assert_eq!(driver.run(&event(&room, "inc-1", now)).await.status, Status::Refused);
    *room.exempt.lock().unwrap() = vec![Exemption { mark: "tag".to_owned(), forgeable: true }];
    assert_eq!(driver.run(&order(&room, Mode::Plan, "inc-1")).await.status, Status::Planned);
    let trusting = with_guard(&room, Guard { trust_tags: true, ..Guard::default() });
    assert_eq!(trusting.run(&event(&room, "inc-1", now)).await.status, Status::Refused);
    let mut revert = event(&room, "inc-1", now);
    revert.order.mode = Mode::Revert;
    assert_eq!(driver.run(&revert).await.status, Status::Refused);
    assert_eq!((room.all(), room.records()), (vec![1, 2, 3], 0));
}

#[tokio::test]
async fn faults_are_tried_again_or_reported_and_never_claimed() {
    let room = Shared::new();
    let driver = driver(&room);
    room.fail_writes(&[Kind::Throttled, Kind::Unavailable, Kind::Throttled]);
    let mut request = order(&room, Mode::Apply, "inc-1");
    request.order.options = serde_json::json!({"photo": true});
    assert_eq!(driver.run(&request).await.status, Status::Applied);
    assert_eq!(room.all(), [0, 0, 0, 1], "a lost answer made no second photo");

    let room = Shared::new();
    let driver = world::driver(&room);
    room.fail_writes(&[Kind::Denied, Kind::Denied]);
    let report = driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    assert_eq!((report.status, report.error), (Status::Failed, Some(Kind::Denied)));
    assert_eq!(room.all(), [1, 2, 3], "the second stage is not begun after a failure");
    assert_eq!(driver.run(&order(&room, Mode::Apply, "inc-1")).await.status, Status::Applied);
    assert_eq!(driver.run(&order(&room, Mode::Revert, "inc-1")).await.status, Status::Reverted);
    assert_eq!(room.all(), [1, 2, 3]);
}

/// What is held back is asked for again for as long as there is patience, and not a try longer.
#[tokio::test]
async fn patience_ends_when_it_says() {
    let room = Shared::new();
    room.turn(world::SLOW, 1);
    room.fail_writes(&[Kind::Throttled; 100]);
    let mut request = order(&room, Mode::Apply, "inc-1");
    request.order.options = serde_json::json!({"slow": true});
    let begun = room.now();
    let report = driver(&room).run(&request).await;
    assert_eq!((report.status, report.error), (Status::Failed, Some(Kind::Throttled)), "{report:#?}");
    let waited = room.now().duration_since(begun).unsigned_abs();
    assert!(waited >= world::PATIENCE && waited < world::PATIENCE + Duration::from_millis(100), "{waited:?}");
    assert_eq!((room.writes(), room.dial(world::SLOW)), (0, 1));

    // Once it is let through, a repeat goes on.
    room.fail_writes(&[Kind::Throttled; 2]);
    assert_eq!(driver(&room).run(&request).await.status, Status::Applied);
    assert_eq!(room.dial(world::SLOW), 0);
}

#[tokio::test]
async fn undo_waits_for_what_may_be_hidden_only_where_an_undo_was_begun() {
    let (mut at_once, mut waited) = (0, 0);
    for at in 0..20 {
        let room = Shared::new();
        room.turn(world::LATE, 1);
        let mut request = order(&room, Mode::Apply, "inc-1");
        request.order.options = serde_json::json!({"late": true});
        assert_eq!(driver(&room).run(&request).await.status, Status::Applied);
        let revert = order(&room, Mode::Revert, "inc-1");
        let whole = room.run_killed(driver(&room).run(&revert), at, When::Before).await;
        if whole.is_some() {
            break;
        }
        room.advance(Duration::from_secs(31));
        // Its write may have been called; here it was called only where the dial has turned.
        let (is_back, begun, before) = (room.dial(world::LATE) == 1, room.now(), room.writes());
        let report = driver(&room).run(&order(&room, Mode::Revert, "inc-1")).await;
        assert!(matches!(report.status, Status::Reverted | Status::Already), "{at}: {report:#?}");
        assert_eq!((room.dial("a"), room.dial(world::LATE)), (1, 1), "{at}");
        assert!(room.writes() - before <= 2, "{at}");
        match room.now().duration_since(begun).unsigned_abs() {
            long if long >= world::LAG => {
                assert!(!is_back, "{at}: there was nothing to wait for");
                waited += 1;
            }
            short => {
                assert!(short < Duration::from_secs(5), "{at}: {short:?}");
                at_once += 1;
            }
        }
    }
    assert!(at_once > 0 && waited > 0, "{at_once} {waited}");
}

#[tokio::test]
async fn undo_of_what_was_done_cleanly_waits_for_nothing() {
    let room = Shared::new();
    room.turn(world::LATE, 1);
    let mut request = order(&room, Mode::Apply, "inc-1");
    request.order.options = serde_json::json!({"late": true});
    assert_eq!(driver(&room).run(&request).await.status, Status::Applied);
    let begun = room.now();
    let report = driver(&room).run(&order(&room, Mode::Revert, "inc-1")).await;
    assert_eq!((report.status, room.dial("a"), room.dial(world::LATE)), (Status::Reverted, 1, 1), "{report:#?}");
    let took = room.now().duration_since(begun).unsigned_abs();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn close_to_the_deadline_nothing_is_started() {
    let room = Shared::new();
    let driver = driver(&room);
    let mut request = order(&room, Mode::Apply, "inc-1");
    request.deadline = room.now() + jiff::SignedDuration::from_secs(1);
    let report = driver.run(&request).await;
    assert!(report.wants_retry(), "{report:?}");
    assert_eq!((room.writes(), room.records()), (0, 0));
}

#[tokio::test]
async fn a_run_that_slept_through_its_lease_writes_nothing() {
    let room = Shared::new();
    let (sleeper, driver) = (driver(&room), driver(&room));
    // The photo is being looked for (its write may be hidden) when the process is stopped for a minute.
    let mut request = order(&room, Mode::Apply, "inc-1");
    request.order.options = serde_json::json!({"photo": true});
    room.run_killed(driver.run(&request), 14, When::Before).await;
    room.advance(Duration::from_secs(31));
    let mut run = Box::pin(sleeper.run(&request));
    for _ in 0..12 {
        assert!(futures::poll!(&mut run).is_pending());
    }
    room.advance(Duration::from_mins(1));
    assert_eq!(driver.run(&Request { id: "other".to_owned(), ..request.clone() }).await.status, Status::Applied);
    assert_eq!(driver.run(&order(&room, Mode::Revert, "inc-1")).await.status, Status::Reverted);
    let (dials, writes) = (room.all(), room.writes());
    let report = run.await;
    assert!(report.wants_retry(), "{report:?}");
    assert_eq!((dials, writes), (room.all(), room.writes()), "the sleeper wrote");
}

#[tokio::test]
async fn what_only_our_own_write_passes_through_is_no_drift() {
    let room = Shared::new();
    let driver = driver(&room);
    driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    room.turn("b", world::HALFWAY);
    let back = driver.run(&order(&room, Mode::Revert, "inc-1")).await;
    assert_eq!((back.status, room.all()), (Status::Reverted, vec![1, 2, 3]), "{back:?}");
}

#[tokio::test]
async fn a_revert_that_drift_holds_up_does_not_keep_a_person_from_containing_again() {
    let room = Shared::new();
    let driver = driver(&room);
    let first = driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    room.turn("b", 7);
    assert_eq!(driver.run(&order(&room, Mode::Revert, "inc-1")).await.status, Status::Partial);
    let event = driver.run(&event(&room, "inc-2", room.now())).await;
    assert_eq!((event.status, room.all()), (Status::Refused, vec![1, 7, 3]));

    let again = driver.run(&order(&room, Mode::Apply, "inc-1")).await;
    assert_eq!((again.status, &again.record), (Status::Applied, &first.record), "{again:?}");
    assert_eq!(room.all(), [0, 0, 0]);
    assert_eq!(driver.run(&order(&room, Mode::Revert, "inc-1")).await.status, Status::Reverted);
    assert_eq!(room.all(), [1, 2, 3], "what was there before all of it");
}
