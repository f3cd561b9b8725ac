//! What several records have in common: a wall that all need, a group that must not lose too much, a turn.

use std::{sync::Arc, time::Duration};

use stanch_core::{DoneState, Mode, Request, Status};

use crate::world::{Shared, When, behind, node, order};

fn on(room: &Shared, mode: Mode, name: &str, options: serde_json::Value) -> Request {
    let mut request = order(room, mode, "inc-1");
    request.order.target = node(name);
    request.order.options = options;
    request
}

fn plain(room: &Shared, mode: Mode, name: &str) -> Request {
    on(room, mode, name, serde_json::Value::Null)
}

#[tokio::test]
async fn the_last_user_of_a_shared_thing_takes_it_away() {
    let room = Shared::new();
    let driver = behind::<false>(&room);
    for name in ["a", "b"] {
        let report = driver.run(&plain(&room, Mode::Apply, name)).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        assert_eq!(report.changes.len(), 2, "the wall is named, whether it was there or not");
    }
    let first = driver.run(&plain(&room, Mode::Revert, "a")).await;
    assert_eq!(first.status, Status::Reverted, "{first:#?}");
    assert_eq!((room.dial("a"), room.dial("wall")), (1, 1), "b still needs the wall");
    assert!(
        first
            .changes
            .iter()
            .any(|change| change.state == DoneState::Skipped
                && change.error.as_deref() == Some("1 other records use it"))
    );

    let last = driver.run(&plain(&room, Mode::Revert, "b")).await;
    assert_eq!(last.status, Status::Reverted, "{last:#?}");
    assert_eq!((room.dial("b"), room.dial("wall")), (2, 0));
    let again = driver.run(&plain(&room, Mode::Apply, "c")).await;
    assert_eq!((again.status, room.dial("wall")), (Status::Applied, 1));
}

#[tokio::test]
async fn a_shared_thing_that_was_weakened_is_put_right_for_the_next_user() {
    let room = Shared::new();
    let driver = behind::<false>(&room);
    driver.run(&plain(&room, Mode::Apply, "a")).await;
    room.turn("wall", 7);
    let next = driver.run(&plain(&room, Mode::Apply, "b")).await;
    assert_eq!((next.status, room.dial("wall")), (Status::Applied, 1), "{next:#?}");
    room.turn("wall", 9);
    let repeat = driver.run(&plain(&room, Mode::Apply, "a")).await;
    assert_eq!((repeat.status, room.dial("wall")), (Status::Applied, 1), "{repeat:#?}");
    for name in ["a", "b"] {
        assert_eq!(driver.run(&plain(&room, Mode::Revert, name)).await.status, Status::Reverted);
    }
    assert_eq!(room.dial("wall"), 0);
}

/// While one target is let go and its process dies at any call, another one comes: it ends behind the wall.
#[tokio::test]
async fn killed_while_leaving_the_wall_stands_for_who_needs_it() {
    for when in [When::Before, When::After] {
        for at in 0..24 {
            let room = Shared::new();
            let driver = behind::<false>(&room);
            driver.run(&plain(&room, Mode::Apply, "a")).await;
            room.run_killed(driver.run(&plain(&room, Mode::Revert, "a")), at, when).await;
            let mut report = driver.run(&plain(&room, Mode::Apply, "b")).await;
            if report.wants_retry() {
                room.advance(Duration::from_secs(61));
                report = driver.run(&plain(&room, Mode::Apply, "b")).await;
            }
            assert!(matches!(report.status, Status::Applied | Status::Already), "{at} {when:?}: {report:#?}");
            assert_eq!(room.dial("wall"), 1, "{at} {when:?}");
            room.advance(Duration::from_secs(31));
            let back = driver.run(&plain(&room, Mode::Revert, "a")).await;
            assert!(matches!(back.status, Status::Reverted | Status::Already), "{at} {when:?}: {back:#?}");
            assert_eq!((room.dial("a"), room.dial("wall")), (1, 1), "{at} {when:?}: b still needs it");
            let last = driver.run(&plain(&room, Mode::Revert, "b")).await;
            assert_eq!((last.status, room.dial("wall")), (Status::Reverted, 0), "{at} {when:?}: {last:#?}");
        }
    }
}

/// A process that died while it took the wall away keeps others off the wall for longer than off the record: who goes on
/// in between says what is undone, and holds nothing back.
#[tokio::test]
async fn what_was_undone_is_reported_even_if_leaving_has_to_wait() {
    let mut waited = 0;
    for at in 0..24 {
        let room = Shared::new();
        let driver = behind::<false>(&room);
        driver.run(&plain(&room, Mode::Apply, "a")).await;
        room.run_killed(driver.run(&plain(&room, Mode::Revert, "a")), at, When::After).await;
        room.advance(Duration::from_secs(31));
        let early = driver.run(&plain(&room, Mode::Revert, "a")).await;
        if early.wants_retry() {
            waited += 1;
            assert_eq!(early.status, Status::Partial, "{at}: {early:#?}");
            assert!(early.changes.iter().any(|change| change.state == DoneState::Reverted), "{at}: {early:#?}");
            room.advance(Duration::from_secs(30));
            let last = driver.run(&plain(&room, Mode::Revert, "a")).await;
            assert_eq!(last.status, Status::Reverted, "{at}: it has given its lease back: {last:#?}");
        }
        assert_eq!((room.dial("a"), room.dial("wall")), (1, 0), "{at}");
    }
    assert!(waited > 0, "no run met the wall while it was going");
}

#[tokio::test]
async fn many_come_and_go_at_once_and_no_wall_is_left_or_missing() {
    let room = Shared::new();
    let driver = Arc::new(behind::<false>(&room));
    let run = |mode, name: &'static str| {
        let (driver, room) = (Arc::clone(&driver), Arc::clone(&room));
        async move {
            for _ in 0..200 {
                let report = driver.run(&plain(&room, mode, name)).await;
                if !report.wants_retry() {
                    return report;
                }
                room.advance(Duration::from_secs(7));
            }
            panic!("{name} never ends");
        }
    };
    for _ in 0..5 {
        let (a, b) = tokio::join!(run(Mode::Apply, "a"), run(Mode::Apply, "b"));
        assert!(matches!((a.status, b.status), (Status::Applied, Status::Applied)), "{a:#?} {b:#?}");
        let (a, c) = tokio::join!(run(Mode::Revert, "a"), run(Mode::Apply, "c"));
        assert_eq!((a.status, c.status, room.dial("wall")), (Status::Reverted, Status::Applied, 1), "{a:#?} {c:#?}");
        let (b, c) = tokio::join!(run(Mode::Revert, "b"), run(Mode::Revert, "c"));
        assert_eq!((b.status, c.status, room.dial("wall")), (Status::Reverted, Status::Reverted, 0), "{b:#?} {c:#?}");
        room.advance(Duration::from_hours(25));
    }
}

#[tokio::test]
async fn a_group_loses_a_tenth_at_once_and_gets_its_members_back() {
    let room = Shared::new();
    let driver = behind::<false>(&room);
    let of = |size: usize| serde_json::json!({ "size": size });
    assert_eq!(driver.run(&on(&room, Mode::Apply, "a", of(9))).await.status, Status::Applied);
    let second = driver.run(&on(&room, Mode::Apply, "b", of(9))).await;
    assert_eq!(second.status, Status::Refused, "{second:#?}");
    assert!(second.reason.as_deref().is_some_and(|why| why.contains("1 of 9 members of pool/web")), "{second:#?}");
    assert_eq!(room.dial("b"), 2);
    assert_eq!(driver.run(&on(&room, Mode::Apply, "b", of(20))).await.status, Status::Applied);
    assert_eq!(driver.run(&on(&room, Mode::Apply, "c", of(20))).await.status, Status::Refused);
    assert_eq!(driver.run(&plain(&room, Mode::Revert, "a")).await.status, Status::Reverted);
    assert_eq!(driver.run(&on(&room, Mode::Apply, "c", of(20))).await.status, Status::Applied);
}

#[tokio::test]
async fn a_member_that_does_not_come_back_stays_counted() {
    let room = Shared::new();
    let driver = behind::<false>(&room);
    let released = serde_json::json!({ "size": 9, "kept": true });
    assert_eq!(driver.run(&on(&room, Mode::Apply, "a", released)).await.status, Status::Applied);
    assert_eq!(driver.run(&plain(&room, Mode::Revert, "a")).await.status, Status::Refused, "nothing can be undone");
    let next = driver.run(&on(&room, Mode::Apply, "b", serde_json::json!({ "size": 9 }))).await;
    assert_eq!(next.status, Status::Refused, "{next:#?}");
    assert_eq!(room.dial("b"), 2);
}

#[tokio::test]
async fn an_order_that_reaches_too_much_is_refused_and_its_plan_says_so() {
    let room = Shared::new();
    let driver = behind::<false>(&room);
    let over = |count: usize| serde_json::json!({ "objects": count });
    let plan = driver.run(&on(&room, Mode::Plan, "a", over(26))).await;
    assert_eq!(plan.status, Status::Planned);
    assert!(plan.reason.as_deref().is_some_and(|why| why.contains("26 objects")), "{plan:#?}");
    assert_eq!(driver.run(&on(&room, Mode::Apply, "a", over(26))).await.status, Status::Refused);
    assert_eq!(room.dial("a"), 1);
    assert_eq!(driver.run(&on(&room, Mode::Apply, "a", over(25))).await.status, Status::Applied);
}

#[tokio::test]
async fn who_must_be_alone_waits_for_its_turn() {
    let room = Shared::new();
    let driver = behind::<true>(&room);
    room.run_killed(driver.run(&plain(&room, Mode::Apply, "a")), 6, When::After).await;
    let other = driver.run(&plain(&room, Mode::Apply, "b")).await;
    assert!(other.wants_retry() && other.status == Status::Failed, "{other:#?}");
    assert_eq!(room.dial("b"), 2);
    room.advance(Duration::from_secs(31));
    assert_eq!(driver.run(&plain(&room, Mode::Apply, "b")).await.status, Status::Applied, "its turn ran out");
    assert_eq!(driver.run(&plain(&room, Mode::Apply, "a")).await.status, Status::Applied, "b has given it back");
}

/// Killed at any call, a record of several items is resumed, reverted, kept under its generation and made anew.
#[tokio::test]
async fn a_record_larger_than_an_item_is_as_safe_as_any() {
    let large = |room: &Shared, mode| on(room, mode, "a", serde_json::json!({ "large": 900 }));
    for at in [0, 3, 5, 6, 7, 9] {
        let room = Shared::new();
        let driver = behind::<false>(&room);
        room.run_killed(driver.run(&large(&room, Mode::Apply)), at, When::After).await;
        room.advance(Duration::from_secs(31));
        let report = driver.run(&large(&room, Mode::Apply)).await;
        assert!(matches!(report.status, Status::Applied | Status::Already), "{at}: {:?}", report.reason);
        assert_eq!(room.all().iter().sum::<i64>(), 2 + 3 + 1 + 900, "{at}: b, c, the wall and 900 more");
        room.run_killed(driver.run(&plain(&room, Mode::Revert, "a")), at, When::After).await;
        room.advance(Duration::from_secs(31));
        let back = driver.run(&plain(&room, Mode::Revert, "a")).await;
        assert!(matches!(back.status, Status::Reverted | Status::Already), "{at}: {:?}", back.reason);
        assert_eq!(room.all().iter().sum::<i64>(), 1 + 2 + 3, "{at}");
        for order in [plain(&room, Mode::Apply, "a"), plain(&room, Mode::Revert, "a"), large(&room, Mode::Apply)] {
            let report = driver.run(&order).await;
            assert!(matches!(report.status, Status::Applied | Status::Reverted), "{at}: {:?}", report.reason);
        }
    }
}
