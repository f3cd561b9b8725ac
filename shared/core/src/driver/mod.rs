//! The one path that every order takes: guard → ledger → plan → record → apply stage by stage → verify → close, and
//! the way back.
//!
//! # Guarantees
//! - The plan, with every *before*, is in the ledger before the first write, and so is the begin of each stage.
//! - A run that dies at any point is resumed from what is written; nothing is planned afresh over a half-changed
//!   target.
//! - Whatever it says was applied or undone was looked at afterwards.

mod apply;
mod decide;
mod revert;
mod show;
mod work;

pub(crate) use decide::busy;

use std::{sync::Arc, time::Duration};

use futures::future::{Either, join, join_all, select};
use jiff::Timestamp;

use crate::{
    clock::{self, Clock},
    error::{Error, Kind, Result},
    guard::{Guard, Leave},
    ledger::{
        Store,
        book::{Book, back_off},
        record::{Record, record_id},
    },
    order::{Mode, Request},
    permission::{Check, Permissions},
    report::{Report, Status, Undo},
    responder::{Api, Cloud, Facts, Identity, Known, Responder, Scene},
    slot::{Mark, Slot},
    target::{Scope, Target},
};

/// Nothing is started this close to the deadline: what is left is for closing the record.
const HAND_OVER: Duration = Duration::from_secs(2);
/// How long one look or write may take, whatever its client thinks.
const CALL: Duration = Duration::from_secs(30);
/// How often reads that prepare a plan are tried.
const TRIES: u32 = 6;

/// Carries out orders for responder `R`.
pub struct Driver<R: Responder> {
    cloud: R::Cloud,
    store: Arc<dyn Store>,
    guard: Guard,
    clock: Arc<dyn Clock>,
    observe: bool,
    call: Duration,
}

/// The target of one order, connected and identified.
struct Found<'a, R: Responder> {
    request: &'a Request,
    target: R::Target,
    options: R::Options,
    api: Api<R>,
    identity: Identity<Facts<R>>,
    leave: Leave,
}

impl<R: Responder> Driver<R> {
    /// A driver that enforces.
    pub fn new(cloud: R::Cloud, store: Arc<dyn Store>, guard: Guard, clock: Arc<dyn Clock>) -> Self {
        let cloud = cloud.needing(R::NAME, R::NEEDS);
        Self { cloud, store, guard, clock, observe: false, call: CALL }
    }

    /// Whether it plans and reports only.
    #[must_use]
    pub fn observing(mut self, observe: bool) -> Self {
        self.observe = observe;
        self
    }

    /// How long one look or write may take; 30 seconds where nothing is said.
    #[must_use]
    pub fn limiting_calls(mut self, call: Duration) -> Self {
        self.call = call;
        self
    }

    /// The cloud that it works in.
    pub const fn cloud(&self) -> &R::Cloud {
        &self.cloud
    }

    /// Carries out one order. Whatever goes wrong is in the report.
    pub async fn run(&self, request: &Request) -> Report {
        let order = &request.order;
        let started = self.clock.now();
        let mut report = Report {
            incident: Some(order.incident.clone()),
            responder: R::NAME.to_owned(),
            target: Some(order.target.clone()),
            mode: order.mode,
            status: Status::Failed,
            reason: None,
            error: None,
            changes: Vec::new(),
            undo: Undo::None("nothing was changed".to_owned()),
            remaining: Vec::new(),
            found: Vec::new(),
            started,
            finished: started,
            record: None,
        };
        if let Err(error) = self.attempt(request, &mut report).await {
            report.fail(&error);
        }
        report.finished = self.clock.now();
        show::log(&report, &request.caller.id);
        report
    }

    /// Whether it could act on this target, now: permissions and ledger, without touching the target.
    pub async fn check(&self, target: &Target) -> Vec<Check> {
        let mut checks = Vec::new();
        let permissions = async {
            let target = <R::Target as crate::target::TargetKind>::of(target)
                .ok_or_else(|| Error::invalid("target.kind", format!("{} does not take it", R::NAME)))?;
            let api = self.cloud.connect(&target).await?;
            Ok::<_, Error>(self.cloud.check(&api, &target, &R::NEEDS).await)
        };
        match permissions.await {
            Ok(found) => checks.extend(found),
            Err(error) => {
                checks.push(Check { what: "reach the target".to_owned(), ok: false, detail: error.to_string() });
            }
        }
        checks.push(self.check_ledger().await);
        checks
    }

    /// Whether it could act anywhere in its scope, as it is deployed: with the permissions to plan and to apply.
    ///
    /// # Errors
    /// When it cannot be told who we are.
    pub async fn check_scopes(&self) -> Result<Vec<(Scope, Vec<Check>)>> {
        let needs = Permissions { revert: &[], ..R::NEEDS };
        let home = self.cloud.home().await?;
        let mut scopes = self.guard.scopes();
        // Where the guard lists none of that kind, our own account, project or cluster is the scope.
        scopes.extend(Some(home).filter(|home| self.guard.needs_home(home)));
        let checks = join_all(scopes.iter().map(|scope| self.cloud.check_scope(scope, &needs))).await;
        Ok(scopes.into_iter().zip(checks).filter(|(_, checks)| !checks.is_empty()).collect())
    }

    /// Whether the ledger can be read and written, and the brake is off.
    pub async fn check_ledger(&self) -> Check {
        match crate::ledger::book::try_out(&*self.store, self.clock.now()).await {
            Ok(None) => Check { what: "ledger".to_owned(), ok: true, detail: "read and written".to_owned() },
            Ok(Some(brake)) => Check {
                what: "ledger".to_owned(),
                ok: false,
                detail: format!("the brake is on since {} by {}", brake.since, brake.by),
            },
            Err(error) => Check { what: "ledger".to_owned(), ok: false, detail: error.to_string() },
        }
    }

    async fn attempt(&self, request: &Request, report: &mut Report) -> Result<()> {
        let order = &request.order;
        let target = order.target_for::<R>()?;
        let options = order.options_for::<R>()?;
        let scope = order.target.scope();
        let home =
            if self.guard.needs_home(&scope) { Some(self.patient(request, || self.cloud.home()).await?) } else { None };
        let leave = self.guard.admit::<R>(request, home.as_ref(), self.clock.now())?;
        let api = self.patient(request, || self.cloud.connect(&target)).await?;
        R::equip(&api, &options);
        let (identity, early) = self.identify(request, &api, &target, &scope).await?;
        report.target = Some(identity.target.clone());
        self.guard.admit_found(&identity.target, &identity.exempt)?;
        let found = Found { request, target, options, api, identity, leave };
        let book = match early {
            Some(book) => book,
            None => self.open(&found).await?,
        };
        match order.mode {
            Mode::Plan => self.show(&found, &book, report, None).await,
            Mode::Apply => self.apply(&found, book, report).await,
            Mode::Revert => self.revert(&found, book, report).await,
        }
    }

    /// Which resource the target is; and at the same time its page of the ledger, where the target itself says which.
    async fn identify(
        &self,
        request: &Request,
        api: &Api<R>,
        target: &R::Target,
        scope: &Scope,
    ) -> Result<(Identity<Facts<R>>, Option<Book<R::Slot>>)> {
        let look = self.patient(request, || self.cloud.identify(api, target));
        let Some(uid) = self.cloud.uid(target) else { return Ok((look.await?, None)) };
        let (identity, book) = join(look, Book::open(&self.store, &self.clock, R::NAME, scope, &uid, R::ALONE)).await;
        let (identity, book) = (identity?, book?);
        let same = identity.uid == uid && identity.target.scope() == *scope;
        Ok((identity, same.then_some(book)))
    }

    async fn open(&self, found: &Found<'_, R>) -> Result<Book<R::Slot>> {
        Book::open(&self.store, &self.clock, R::NAME, &found.identity.target.scope(), &found.identity.uid, R::ALONE)
            .await
    }

    /// What would be written on everything that a new record makes.
    fn new_mark(&self, found: &Found<'_, R>, book: &Book<R::Slot>, generation: u32) -> Result<Mark> {
        let incident = found.request.order.incident.clone();
        let record = record_id(R::NAME, book.name(), &incident, generation)?;
        Ok(Mark { record, incident, opened: self.clock.now(), by: found.request.caller.id.clone() })
    }

    async fn plan(
        &self,
        found: &Found<'_, R>,
        book: &Book<R::Slot>,
        mark: &Mark,
        fresh: bool,
        record: Option<&Record<R::Slot>>,
    ) -> Result<crate::Plan<R::Slot>> {
        self.plan_from(found, &found.identity.facts, book, mark, fresh, record).await
    }

    /// The same over what the target is found to be now: another run may have ended between this one's first look at
    /// the target and its look at the ledger.
    async fn plan_anew(&self, found: &Found<'_, R>, book: &Book<R::Slot>, mark: &Mark) -> Result<crate::Plan<R::Slot>> {
        let identity = self.patient(found.request, || self.cloud.identify(&found.api, &found.target)).await?;
        if identity.uid != found.identity.uid {
            let message = "it was recreated while it was looked at";
            return Err(Error::new(Kind::Conflict, "identify", message).on(identity.target.to_string()));
        }
        self.plan_from(found, &identity.facts, book, mark, false, book.record.as_ref()).await
    }

    async fn plan_from(
        &self,
        found: &Found<'_, R>,
        facts: &Facts<R>,
        book: &Book<R::Slot>,
        mark: &Mark,
        fresh: bool,
        record: Option<&Record<R::Slot>>,
    ) -> Result<crate::Plan<R::Slot>> {
        let scene = Scene { target: &found.target, options: &found.options, facts, mark, fresh };
        let recorded = record.map(Record::changes).unwrap_or_default();
        let known = Known { recorded, siblings: book.siblings(R::SIBLINGS).await? };
        self.patient(found.request, || R::plan_knowing(&found.api, &scene, &known)).await
    }

    /// Why nothing may be written now, if so.
    fn bound(&self, found: &Found<'_, R>, book: &Book<R::Slot>) -> Option<String> {
        if let Some(brake) = &book.brake {
            return Some(format!("the brake is on since {} by {}", brake.since, brake.by));
        }
        if self.observe {
            return Some("observing: STANCH_MODE is not enforce".to_owned());
        }
        match &found.leave {
            Leave::Full => None,
            Leave::PlanOnly(why) => Some(why.clone()),
        }
    }

    fn too_late(&self, deadline: Timestamp) -> bool {
        clock::after(self.clock.now(), HAND_OVER) >= deadline
    }

    /// Bounds one call by its own limit and by the deadline.
    async fn bounded<T>(&self, deadline: Timestamp, call: impl Future<Output = Result<T>>) -> Result<T> {
        let wait = self.call.min(clock::until(self.clock.now(), deadline));
        match select(Box::pin(call), self.clock.limit(wait)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(Error::new(Kind::Unavailable, "call", format!("no answer within {wait:?}"))),
        }
    }

    /// Tries again what only reads, until the deadline. This and the loop in `work` are the only retries.
    async fn patient<T, F: Future<Output = Result<T>>>(
        &self,
        request: &Request,
        mut call: impl FnMut() -> F,
    ) -> Result<T> {
        let mut attempt = 0;
        loop {
            let error = match self.bounded(request.deadline, call()).await {
                Err(error) if error.kind().is_transient() && attempt + 1 < TRIES => error,
                answer => return answer,
            };
            let wait = back_off(attempt, error.wait(), self.clock.chance());
            if self.too_late(clock::before(request.deadline, wait)) {
                return Err(error);
            }
            self.clock.pause(wait).await;
            attempt += 1;
        }
    }
}

/// The order was given by somebody who proved it before the target was reverted: a copy of an old order.
fn is_replay(request: &Request, reverted: Timestamp) -> bool {
    request.caller.proved_at.is_some_and(|proved| proved <= reverted)
}

/// A description of a difference: what was expected and what is there.
fn difference<S: Slot>(expected: &S::State, present: &S::State) -> Error {
    let text = |state: &S::State| serde_json::to_string(state).unwrap_or_else(|_| "?".to_owned());
    Error::new(Kind::Conflict, "compare", format!("expected {}, found {}", text(expected), text(present)))
}
