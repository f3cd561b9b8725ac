//! What every responder promises, tried on its own cloud through a proxy that can end the process at any call.

use std::{sync::Arc, time::Duration};

use crate::{Skipping, incident, order};
use serde_json::Value;
use stanch_core::{
    DoneState, Driver, Guard, IncidentId, Kind, Limits, Mode, Report, Request, Responder, Status, Store, Target,
    set_brake,
};
use stanch_range::proxy::{Fault, Proxy};
use tokio::runtime::Handle;

/// How long a call may take where one hangs: less than a lease lasts.
const PATIENCE: Duration = Duration::from_secs(20);
/// No responder makes more calls than this for one order; a kill beyond it would test nothing.
const MOST_CALLS: usize = 60;

/// A cloud with targets to contain.
pub trait Bed: Sync {
    /// The responder.
    type R: Responder;
    /// What it makes is evidence: revert leaves it.
    const KEEPS: bool;
    /// What it does cannot be taken back by anybody: a pod that is gone.
    const FINAL: bool = false;

    /// A new process's view of the cloud, through the proxy.
    fn cloud(&self) -> <Self::R as Responder>::Cloud;
    /// The same, with a client that soon gives up on a call that hangs: what counts is what comes after it. `None`:
    /// that time passes on the clock.
    fn impatient(&self) -> Option<<Self::R as Responder>::Cloud> {
        None
    }
    /// A ledger that holds nothing.
    fn empty_ledger(&self) -> Arc<dyn Store>;
    /// What every call to the cloud passes.
    fn proxy(&self) -> &Proxy;
    /// A target that nothing was done to.
    fn target(&self) -> Target;
    /// The guard's scope.
    fn guard(&self) -> Guard;
    /// The target as the cloud's own API shows it to somebody else, without what the provider assigns.
    fn state(&self, target: &Target) -> Value;
    /// How it is told to act.
    fn options(&self) -> Value {
        Value::Null
    }
    /// Panics unless the target is contained exactly once.
    fn assert_contained(&self, state: &Value);
    /// Somebody changes what we wrote; `None` where there is nothing that can be changed. Returns its name in a change.
    fn drift(&self, target: &Target) -> Option<&'static str>;
    /// Somebody takes the containment away.
    fn undo_by_hand(&self, target: &Target);
}

struct Trial<'a, B: Bed> {
    bed: &'a B,
    ledger: Arc<dyn Store>,
    clock: Skipping,
    guard: Guard,
}

impl<'a, B: Bed> Trial<'a, B> {
    fn new(bed: &'a B) -> Self {
        let limits = Limits { per_ten_minutes: 10_000, per_day: 10_000, ..Limits::default() };
        let guard = Guard { limits: [(B::R::NAME.to_owned(), limits)].into(), ..bed.guard() };
        Self { bed, ledger: bed.empty_ledger(), clock: Skipping::default(), guard }
    }

    /// A new process: nothing but the ledger and the cloud is kept.
    fn process(&self) -> Driver<B::R> {
        self.process_on(self.bed.cloud())
    }

    fn process_on(&self, cloud: <B::R as Responder>::Cloud) -> Driver<B::R> {
        Driver::new(cloud, Arc::clone(&self.ledger), self.guard.clone(), Arc::new(self.clock.clone()))
            // Time is skipped while calls are under way.
            .limiting_calls(Duration::from_mins(10))
    }

    async fn run(&self, mode: Mode, incident: &IncidentId, target: &Target) -> Report {
        self.process().run(&self.order(mode, incident, target)).await
    }

    fn order(&self, mode: Mode, incident: &IncidentId, target: &Target) -> Request {
        let mut request = order(&self.clock, mode, incident, target);
        request.order.options = self.bed.options();
        request
    }

    /// Runs a process one of whose calls is never answered. Nobody sits that time out: it passes on the clock, for
    /// whatever else is under way as well.
    async fn run_hung(&self, request: &Request) -> Report {
        if let Some(cloud) = self.bed.impatient() {
            return self.process_on(cloud).run(request).await;
        }
        let driver = self.process().limiting_calls(PATIENCE);
        let hung = async {
            while self.bed.proxy().calls().iter().all(|call| call.fault.is_none()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.clock.skip(PATIENCE);
            std::future::pending::<()>().await;
        };
        tokio::select! { report = driver.run(request) => report, () = hung => unreachable!("it never ends") }
    }

    /// Runs a process that dies at its `n`th call; `None` when it died.
    async fn run_killed(&self, n: usize, fault: Fault, request: &Request) -> Option<Report> {
        let proxy = self.bed.proxy();
        proxy.clear();
        proxy.fault_at(n, fault);
        let driver = self.process();
        let report = tokio::select! { report = driver.run(request) => Some(report), () = proxy.killed() => None };
        proxy.clear();
        // The lease of the dead runs out (that of taking a shared thing away lasts twice as long), and its open
        // connections with it.
        self.clock.skip(Duration::from_secs(61));
        report
    }
}

const KILLS: [Fault; 2] = [Fault::KillBefore, Fault::KillAfter];
const FAULTS: [Fault; 5] = [Fault::Throttle, Fault::Status(500), Fault::Reset, Fault::AnswerLost, Fault::Hang];

/// All clauses, one after the other.
pub async fn contract<B: Bed>(bed: &B) {
    behaviour(bed).await;
    for fault in KILLS {
        killed_at_any_call_it_converges(bed, fault).await;
    }
    for fault in FAULTS {
        faults_never_become_claims(bed, fault).await;
    }
}

/// The same, each fault on a bed of its own and all of them at once: most of the time is waiting.
///
/// # Panics
/// Outside of a runtime with several threads, and where a clause does not hold.
pub fn contract_at_once<B: Bed>(bed: impl Fn() -> B + Sync) {
    let (runtime, bed) = (Handle::current(), &bed);
    let runtime = &runtime;
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| runtime.block_on(behaviour(&bed())));
            for fault in KILLS {
                scope.spawn(move || runtime.block_on(killed_at_any_call_it_converges(&bed(), fault)));
            }
            for fault in FAULTS {
                scope.spawn(move || runtime.block_on(faults_never_become_claims(&bed(), fault)));
            }
        });
    });
}

async fn behaviour<B: Bed>(bed: &B) {
    plan_only_reads(bed).await;
    apply_twice_is_once_and_revert_restores(bed).await;
    lost_containment_is_brought_back(bed).await;
    drift_is_refused(bed).await;
    fifty_redeliveries_at_once(bed).await;
    two_incidents(bed).await;
    observe_and_brake_write_nothing(bed).await;
    the_sixth_target_is_refused(bed).await;
}

fn assert_only_reads(proxy: &Proxy) {
    let writes: Vec<_> = proxy.calls().into_iter().filter(|call| !call.reads()).map(|call| call.action).collect();
    assert!(writes.is_empty(), "writes: {writes:?}");
}

async fn plan_only_reads<B: Bed>(bed: &B) {
    let trial = Trial::new(bed);
    let (target, inc) = (bed.target(), incident("inc-plan"));
    let before = bed.state(&target);
    bed.proxy().clear();
    let report = trial.run(Mode::Plan, &inc, &target).await;
    assert_eq!(report.status, Status::Planned, "{report:#?}");
    assert!(!report.changes.is_empty() && report.changes.iter().all(|change| !change.command.is_empty()));
    assert_only_reads(bed.proxy());
    assert_eq!(bed.state(&target), before);
}

async fn apply_twice_is_once_and_revert_restores<B: Bed>(bed: &B) {
    let trial = Trial::new(bed);
    let (target, inc) = (bed.target(), incident("inc-twice"));
    let before = bed.state(&target);
    let planned = trial.run(Mode::Plan, &inc, &target).await;
    let applied = trial.run(Mode::Apply, &inc, &target).await;
    assert_eq!(applied.status, Status::Applied, "{applied:#?}");
    let names = |report: &Report| report.changes.iter().map(|change| change.what.clone()).collect::<Vec<_>>();
    assert_eq!(names(&planned), names(&applied), "what was shown is what was done");
    let contained = bed.state(&target);
    bed.assert_contained(&contained);

    bed.proxy().clear();
    let again = trial.run(Mode::Apply, &inc, &target).await;
    assert_eq!((again.status, &again.record), (Status::Already, &applied.record), "{again:#?}");
    assert_only_reads(bed.proxy());
    assert_eq!(bed.state(&target), contained);

    let back = trial.run(Mode::Revert, &inc, &target).await;
    if B::KEEPS {
        assert_eq!(back.status, Status::Refused, "{back:#?}");
        assert!(back.changes.iter().all(|change| change.state == DoneState::Skipped && change.error.is_some()));
        assert_eq!(bed.state(&target), contained);
    } else {
        assert_eq!(back.status, Status::Reverted, "{back:#?}");
        assert_eq!(bed.state(&target), before);
    }
}

async fn lost_containment_is_brought_back<B: Bed>(bed: &B) {
    if B::FINAL {
        return;
    }
    let trial = Trial::new(bed);
    let (target, inc) = (bed.target(), incident("inc-lost"));
    let before = bed.state(&target);
    let first = trial.run(Mode::Apply, &inc, &target).await;
    bed.undo_by_hand(&target);
    let again = trial.run(Mode::Apply, &inc, &target).await;
    assert_eq!((again.status, &again.record), (Status::Applied, &first.record), "{again:#?}");
    bed.assert_contained(&bed.state(&target));
    if !B::KEEPS {
        trial.run(Mode::Revert, &inc, &target).await;
        assert_eq!(bed.state(&target), before);
    }
}

async fn drift_is_refused<B: Bed>(bed: &B) {
    let trial = Trial::new(bed);
    let (target, inc) = (bed.target(), incident("inc-drift"));
    trial.run(Mode::Apply, &inc, &target).await;
    let Some(name) = bed.drift(&target) else { return };
    let back = trial.run(Mode::Revert, &inc, &target).await;
    assert_eq!((back.status, back.error), (Status::Partial, Some(Kind::Conflict)), "{back:#?}");
    // What only waited has nothing to be undone.
    for change in back.changes.iter().filter(|change| !change.what.starts_with("wait ")) {
        let left = change.state == DoneState::Skipped;
        assert_eq!(left, change.what.contains(name), "{change:#?}");
    }
}

async fn killed_at_any_call_it_converges<B: Bed>(bed: &B, fault: Fault) {
    let mut survived = false;
    for n in 1..=MOST_CALLS {
        let trial = Trial::new(bed);
        let (target, inc) = (bed.target(), incident("inc-kill"));
        let before = bed.state(&target);
        let place = format!("{fault:?} at call {n}");
        survived = trial.run_killed(n, fault, &trial.order(Mode::Apply, &inc, &target)).await.is_some();

        let next = trial.run(Mode::Apply, &inc, &target).await;
        assert!(matches!(next.status, Status::Applied | Status::Already), "{place}: {next:#?}");
        bed.assert_contained(&bed.state(&target));

        if !B::KEEPS {
            trial.run_killed(n, fault, &trial.order(Mode::Revert, &inc, &target)).await;
            let back = trial.run(Mode::Revert, &inc, &target).await;
            assert!(matches!(back.status, Status::Reverted | Status::Already), "{place}: {back:#?}");
            assert_eq!(bed.state(&target), before, "{place}");
        }
        if survived {
            break;
        }
    }
    assert!(survived, "the run makes more than {MOST_CALLS} calls");
}

async fn fifty_redeliveries_at_once<B: Bed>(bed: &B) {
    let trial = Trial { clock: Skipping::steady(), ..Trial::new(bed) };
    let (target, inc) = (bed.target(), incident("inc-fifty"));
    let driver = Arc::new(trial.process());
    let runs: Vec<_> = (0..50)
        .map(|_| {
            let driver = Arc::clone(&driver);
            let orders: Vec<_> = (0..100).map(|_| trial.order(Mode::Apply, &inc, &target)).collect();
            tokio::spawn(async move {
                for (order, wait) in orders.iter().zip((50..).step_by(50)) {
                    let report = driver.run(order).await;
                    if !report.wants_retry() {
                        return report;
                    }
                    // Those who wait must not take all of the cloud's time from the one who works.
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                panic!("100 tries were not enough");
            })
        })
        .collect();
    let mut reports = Vec::new();
    for run in runs {
        reports.push(run.await.expect("a run does not panic"));
    }
    let applied = reports.iter().filter(|report| report.status == Status::Applied).count();
    let already = reports.iter().filter(|report| report.status == Status::Already).count();
    assert_eq!((applied, already), (1, 49), "{:#?}", reports.iter().map(|r| (r.status, &r.reason)).collect::<Vec<_>>());
    assert!(reports.iter().all(|report| report.record == reports[0].record), "one record");
    bed.assert_contained(&bed.state(&target));
}

async fn two_incidents<B: Bed>(bed: &B) {
    let trial = Trial::new(bed);
    let (target, one, two) = (bed.target(), incident("inc-one"), incident("inc-two"));
    let before = bed.state(&target);
    let first = trial.run(Mode::Apply, &one, &target).await;
    let second = trial.run(Mode::Apply, &two, &target).await;
    assert_eq!((second.status, &second.record), (Status::Already, &first.record), "{second:#?}");
    bed.assert_contained(&bed.state(&target));
    let back = trial.run(Mode::Revert, &one, &target).await;
    assert_eq!(back.status, Status::Refused);
    assert!(back.reason.is_some_and(|reason| reason.contains("still held by inc-two")));
    bed.assert_contained(&bed.state(&target));
    trial.run(Mode::Revert, &two, &target).await;
    if !B::KEEPS {
        assert_eq!(bed.state(&target), before);
    }
}

async fn observe_and_brake_write_nothing<B: Bed>(bed: &B) {
    let trial = Trial::new(bed);
    let (target, inc) = (bed.target(), incident("inc-quiet"));
    let before = bed.state(&target);
    bed.proxy().clear();
    let report = trial.process().observing(true).run(&trial.order(Mode::Apply, &inc, &target)).await;
    assert_eq!(report.status, Status::Planned, "{report:#?}");
    assert_only_reads(bed.proxy());

    set_brake(&*trial.ledger, true, "analyst", jiff::Timestamp::now()).await.expect("the brake is set");
    bed.proxy().clear();
    let report = trial.run(Mode::Apply, &inc, &target).await;
    assert_eq!(report.status, Status::Planned, "{report:#?}");
    assert!(report.reason.is_some_and(|reason| reason.contains("brake")));
    assert_only_reads(bed.proxy());
    assert_eq!(bed.state(&target), before);
}

async fn the_sixth_target_is_refused<B: Bed>(bed: &B) {
    let trial = Trial { guard: bed.guard(), ..Trial::new(bed) };
    let inc = incident("inc-many");
    for _ in 0..5 {
        let report = trial.run(Mode::Apply, &inc, &bed.target()).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
    }
    let sixth = bed.target();
    let before = bed.state(&sixth);
    let report = trial.run(Mode::Apply, &inc, &sixth).await;
    assert_eq!((report.status, report.exit_code()), (Status::Refused, 3), "{report:#?}");
    assert_eq!(bed.state(&sixth), before);
}

/// Each call in turn is throttled, answered 500, reset, carried out without an answer, or hangs: the outcome is applied
/// after a retry, or a typed failure and no claim.
async fn faults_never_become_claims<B: Bed>(bed: &B, fault: Fault) {
    for n in 1..=MOST_CALLS {
        let trial = Trial::new(bed);
        let (target, inc) = (bed.target(), incident("inc-fault"));
        bed.proxy().clear();
        bed.proxy().fault_at(n, fault);
        let request = trial.order(Mode::Apply, &inc, &target);
        let report = match fault {
            Fault::Hang => trial.run_hung(&request).await,
            _ => trial.process().run(&request).await,
        };
        let reached = bed.proxy().calls().iter().any(|call| call.fault.is_some());
        bed.proxy().clear();
        assert_eq!(report.status, Status::Applied, "{fault:?} at call {n}: {report:#?}");
        bed.assert_contained(&bed.state(&target));
        if !reached {
            break;
        }
    }
}
