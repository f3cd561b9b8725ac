//! A cloud of numbered dials, a ledger in memory and a clock that tests can move. Every call can be the last.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use stanch_core::{
    Alert, Caller, Cause, Change, Check, Clock, Cloud, Error, Exemption, Guard, Identity, Item, Key, Kind, Mark, Mode,
    OptionDoc, Order, Permissions, Plan, Recorded, Remaining, Report, Request, Responder, Result, Saved, Scene, Scope,
    Seen, Severity, Slot, Source, Store, Target, Trigger, Write, target::Node,
};
use tokio::sync::Notify;

/// Everything that outlives a run.
#[derive(Default)]
pub struct Shared {
    pub dials: Mutex<BTreeMap<String, i64>>,
    pub exempt: Mutex<Vec<Exemption>>,
    items: Mutex<BTreeMap<Key, Item>>,
    calls: AtomicUsize,
    writes: AtomicUsize,
    kill: Mutex<Option<(usize, When)>>,
    killed: Notify,
    faults: Mutex<Vec<Kind>>,
    moved: AtomicI64,
    /// Undoing is refused.
    pub sealed: std::sync::atomic::AtomicBool,
}

/// Whether the fatal call is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

impl Shared {
    pub fn new() -> Arc<Self> {
        let shared = Self::default();
        shared.dials.lock().unwrap().extend([("a".to_owned(), 1), ("b".to_owned(), 2), ("c".to_owned(), 3)]);
        Arc::new(shared)
    }

    pub fn dial(&self, name: &str) -> i64 {
        self.dials.lock().unwrap()[name]
    }

    pub fn all(&self) -> Vec<i64> {
        self.dials.lock().unwrap().values().copied().collect()
    }

    pub fn turn(&self, name: &str, to: i64) {
        self.dials.lock().unwrap().insert(name.to_owned(), to);
    }

    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn records(&self) -> usize {
        self.items.lock().unwrap().keys().filter(|key| key.as_str().starts_with("record")).count()
    }

    pub fn item(&self, start: &str) -> Option<String> {
        let items = self.items.lock().unwrap();
        items.iter().find(|(key, _)| key.as_str().starts_with(start)).map(|(_, item)| item.body.clone())
    }

    /// The next cloud writes fail this way.
    pub fn fail_writes(&self, kinds: &[Kind]) {
        *self.faults.lock().unwrap() = kinds.to_vec();
    }

    pub fn advance(&self, by: Duration) {
        self.moved.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        start + SignedDuration::from_millis(self.moved.load(Ordering::SeqCst))
    }

    /// Counts a call; the fatal one never returns.
    async fn call<T>(&self, act: impl FnOnce() -> T) -> T {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let fatal = self.kill.lock().unwrap().filter(|(at, _)| *at == number).map(|(_, when)| when);
        match fatal {
            None => {
                tokio::task::yield_now().await;
                act()
            }
            Some(when) => {
                if when == When::After {
                    act();
                }
                self.killed.notify_one();
                std::future::pending().await
            }
        }
    }

    /// Runs until the end, or until its Nth call (from now) kills it.
    pub async fn run_killed(&self, run: impl Future<Output = Report>, at: usize, when: When) -> Option<Report> {
        *self.kill.lock().unwrap() = Some((self.calls() + at, when));
        let report = tokio::select! { report = run => Some(report), () = self.killed.notified() => None };
        *self.kill.lock().unwrap() = None;
        report
    }
}

pub struct TestClock(pub Arc<Shared>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn pause(&self, wait: Duration) -> BoxFuture<'static, ()> {
        self.0.advance(wait);
        tokio::task::yield_now().boxed()
    }
    fn limit(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let room = Arc::clone(&self.0);
        let until = room.now() + SignedDuration::try_from(wait).unwrap();
        async move {
            while room.now() < until {
                tokio::task::yield_now().await;
            }
        }
        .boxed()
    }
    fn chance(&self) -> u64 {
        7
    }
}

pub struct MemoryStore(pub Arc<Shared>);

impl Store for MemoryStore {
    fn load<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Item>>>> {
        self.0
            .call(move || {
                let items = self.0.items.lock().unwrap();
                Ok(keys.iter().map(|key| items.get(key).cloned()).collect())
            })
            .boxed()
    }

    fn save<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Result<Saved>> {
        self.0
            .call(move || {
                let mut items = self.0.items.lock().unwrap();
                if writes.iter().any(|write| items.get(&write.key).map(|item| item.version) != write.expected) {
                    return Ok(Saved::Moved);
                }
                for write in writes {
                    if let Some(body) = &write.body {
                        items.insert(write.key.clone(), Item { version: write.version(), body: body.clone() });
                    }
                }
                Ok(Saved::Done)
            })
            .boxed()
    }
}

/// Turns dials to zero: `a` and `b` at once, then `c`; optionally takes a `photo` that is kept.
pub struct Zero;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Dial {
    Turn(String),
    /// Counts up with each write: a duplicate shows.
    Photo,
    /// Stands at 1 while anybody needs it.
    Wall,
}

/// Between two positions: only a turn that was not finished leaves it.
pub const HALFWAY: i64 = 99;

/// A dial that is waited for.
pub const SLOW: &str = "slow";
pub const PATIENCE: Duration = Duration::from_secs(7);
/// A dial that may not show at once what was written.
pub const LATE: &str = "late";
pub const LAG: Duration = Duration::from_secs(30);

pub struct Panel(pub Arc<Shared>);

impl Slot for Dial {
    type Api = Panel;
    type State = i64;
    type Token = ();

    async fn look(&self, api: &Panel, _: &Mark) -> Result<Seen<Self>> {
        let state = api.0.call(|| api.0.dials.lock().unwrap().get(self.name()).copied().unwrap_or(0)).await;
        Ok(Seen { state, token: (), ids: vec![self.name().to_owned()], settling: None })
    }

    async fn write(change: Recorded<'_, Self>, _: &Seen<Self>, api: &Panel) -> Result<()> {
        let (slot, to) = (change.slot(), *change.to());
        let fault = api.0.faults.lock().unwrap().pop();
        let write = || {
            api.0.writes.fetch_add(1, Ordering::SeqCst);
            let mut dials = api.0.dials.lock().unwrap();
            match slot {
                Self::Turn(name) => dials.insert(name.clone(), to),
                Self::Wall => dials.insert("wall".to_owned(), to),
                Self::Photo => {
                    let taken = dials.get("photo").copied().unwrap_or(0) + 1;
                    dials.insert("photo".to_owned(), taken)
                }
            };
        };
        match fault {
            // The answer is lost, the write is not.
            Some(Kind::Unavailable) => {
                api.0.call(write).await;
                Err(Error::new(Kind::Unavailable, "turn", "connection reset"))
            }
            Some(kind) => Err(Error::new(kind, "turn", "no").on(slot.name())),
            None => {
                api.0.call(write).await;
                Ok(())
            }
        }
    }

    fn what(&self, to: &i64) -> String {
        format!("turn {} to {to}", self.name())
    }

    fn command(&self, to: &i64, _: &Mark) -> String {
        format!("turn {} {to}", self.name())
    }

    fn kept(&self) -> Option<&'static str> {
        matches!(self, Self::Photo).then_some("evidence is kept")
    }

    fn may_undo(&self, api: &Panel, made: Timestamp, now: Timestamp) -> Result<()> {
        let early = api.0.sealed.load(Ordering::SeqCst) && now < made + SignedDuration::from_hours(1);
        if early { Err(Error::refused("not within the hour")) } else { Ok(()) }
    }

    fn shared(&self) -> Option<i64> {
        matches!(self, Self::Wall).then_some(0)
    }

    fn halfway(&self, present: &i64) -> bool {
        *present == HALFWAY
    }

    fn lag(&self) -> Duration {
        if matches!(self, Self::Photo) || self.name() == LATE { LAG } else { Duration::ZERO }
    }

    fn patience(&self) -> Duration {
        if self.name() == SLOW { PATIENCE } else { Duration::ZERO }
    }
}

impl Dial {
    fn name(&self) -> &str {
        match self {
            Self::Turn(name) => name,
            Self::Photo => "photo",
            Self::Wall => "wall",
        }
    }
}

pub struct Room(pub Arc<Shared>);

impl Cloud<Node> for Room {
    type Api = Panel;
    type Facts = BTreeMap<String, i64>;

    fn from_env() -> Result<Self> {
        Err(Error::invalid("environment", "a room is made by a test"))
    }
    async fn warm(&self) {}
    async fn home(&self) -> Result<Scope> {
        Ok(Scope::Cluster("context:room".parse()?))
    }
    async fn connect(&self, _: &Node) -> Result<Panel> {
        Ok(Panel(Arc::clone(&self.0)))
    }
    async fn identify(&self, api: &Panel, target: &Node) -> Result<Identity<Self::Facts>> {
        let facts = api.0.call(|| api.0.dials.lock().unwrap().clone()).await;
        Ok(Identity {
            uid: format!("uid-{}", target.name),
            target: target.clone().into(),
            exempt: self.0.exempt.lock().unwrap().clone(),
            facts,
        })
    }
    async fn check(&self, _: &Panel, _: &Node, _: &Permissions) -> Vec<Check> {
        Vec::new()
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    photo: bool,
    slow: bool,
    late: bool,
}

impl Responder for Zero {
    const NAME: &'static str = "zero";
    const ABOUT: &'static str = "Turns dials to zero";
    const UNDO: &'static str = "Everything";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions { plan: &[], apply: &[], revert: &[] };
    const OPTIONS: &'static [OptionDoc] = &[];
    type Cloud = Room;
    type Target = Node;
    type Options = Options;
    type Slot = Dial;

    async fn plan(_: &Panel, scene: &Scene<'_, Self>) -> Result<Plan<Dial>> {
        let turn = |name: &str| Change {
            slot: Dial::Turn(name.to_owned()),
            before: scene.facts.get(name).copied().unwrap_or(0),
            after: 0,
        };
        if scene.options.slow {
            return Ok(Plan::empty().then([turn(SLOW)]));
        }
        if scene.options.late {
            return Ok(Plan::empty().then([turn("a")]).then([turn(LATE)]));
        }
        let taken = scene.facts.get("photo").copied().unwrap_or(0);
        let photo = scene.options.photo.then_some(Change { slot: Dial::Photo, before: taken, after: 1 });
        Ok(Plan::empty()
            .then([turn("a"), turn("b")])
            .then([turn("c")])
            .then(photo)
            .leaving([Remaining::new("the room")]))
    }
}

/// Turns the dial of its target to zero behind a wall that all targets share.
pub struct Behind<const ALONE: bool>;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    size: usize,
    objects: usize,
    large: usize,
    kept: bool,
}

impl<const ALONE: bool> Responder for Behind<ALONE> {
    const NAME: &'static str = if ALONE { "alone" } else { "behind" };
    const ABOUT: &'static str = "Turns a dial to zero behind a wall";
    const UNDO: &'static str = "Everything";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions { plan: &[], apply: &[], revert: &[] };
    const OPTIONS: &'static [OptionDoc] = &[];
    const ALONE: bool = ALONE;
    type Cloud = Room;
    type Target = Node;
    type Options = Group;
    type Slot = Dial;

    async fn plan(_: &Panel, scene: &Scene<'_, Self>) -> Result<Plan<Dial>> {
        let change =
            |slot: Dial, after: i64| Change { before: scene.facts.get(slot.name()).copied().unwrap_or(0), slot, after };
        if scene.options.kept {
            return Ok(Plan::empty().then([change(Dial::Photo, 1)]).of("pool/web", scene.options.size));
        }
        let plan = Plan::empty()
            .then([change(Dial::Wall, 1)])
            .then([change(Dial::Turn(scene.target.name.to_string()), 0)])
            .then((0..scene.options.large).map(|it| change(Dial::Turn(format!("{}{it}", "x".repeat(1000))), 1)))
            .over(scene.options.objects);
        Ok(if scene.options.size > 0 { plan.of("pool/web", scene.options.size) } else { plan })
    }
}

pub type Driver = stanch_core::Driver<Zero>;

pub fn behind<const ALONE: bool>(shared: &Arc<Shared>) -> stanch_core::Driver<Behind<ALONE>> {
    stanch_core::Driver::new(
        Room(Arc::clone(shared)),
        Arc::new(MemoryStore(Arc::clone(shared))),
        Guard::default(),
        Arc::new(TestClock(Arc::clone(shared))),
    )
}

pub fn driver(shared: &Arc<Shared>) -> Driver {
    with_guard(shared, Guard::default())
}

pub fn with_guard(shared: &Arc<Shared>, guard: Guard) -> Driver {
    Driver::new(
        Room(Arc::clone(shared)),
        Arc::new(MemoryStore(Arc::clone(shared))),
        guard,
        Arc::new(TestClock(Arc::clone(shared))),
    )
}

pub fn node(name: &str) -> Target {
    Node { cluster: "context:room".parse().unwrap(), name: name.parse().unwrap(), uid: None }.into()
}

static DELIVERY: AtomicUsize = AtomicUsize::new(0);

pub fn order(shared: &Shared, mode: Mode, incident: &str) -> Request {
    Request {
        order: Order {
            mode,
            incident: incident.parse().unwrap(),
            target: node("n1"),
            options: serde_json::Value::Null,
            requested_by: None,
            protected: false,
        },
        cause: Cause::Person,
        caller: Caller { id: "anna".to_owned(), proved_at: None },
        id: format!("delivery-{}", DELIVERY.fetch_add(1, Ordering::SeqCst)),
        deadline: shared.now() + SignedDuration::from_mins(10),
    }
}

pub fn event(shared: &Shared, incident: &str, seen: Timestamp) -> Request {
    let mut request = order(shared, Mode::Apply, incident);
    request.cause = Cause::Alert(Box::new(Alert {
        severity: Some(Severity::High),
        last_seen: Some(seen),
        subjects: vec![node("n1")],
        ..Alert::new(incident.parse().unwrap(), Source::Falco, "Terminal shell in container")
    }));
    request
}
