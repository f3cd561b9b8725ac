//! What a responder declares, and the one function that it writes.

use std::{future::Future, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Result,
    ledger::Sibling,
    permission::{Check, Permissions},
    plan::Plan,
    slot::{Change, Mark, Slot},
    target::{Scope, Target, TargetKind},
};

/// Who may set a responder off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A detector may: it captures, marks or protects, or its harm is small and undone exactly.
    Event,
    /// Only a person or a playbook. An event is planned and reported, unless the guard lists the responder under
    /// `auto`.
    Order,
}

/// An option of a responder, for `explain` and the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OptionDoc {
    /// Its name.
    pub name: &'static str,
    /// Type and default.
    pub form: &'static str,
    /// What it does.
    pub about: &'static str,
}

/// One kind of containment.
///
/// # Guarantees
/// `plan` gets look-ups and no writes: an `Api` has no public method that changes anything. What the plan holds is
/// exactly what is shown, recorded, applied and undone.
pub trait Responder: Send + Sync + 'static {
    /// Folder, crate, binary, Lambda function and Cloud Run service.
    const NAME: &'static str;
    /// What it does, in one sentence.
    const ABOUT: &'static str;
    /// What undo brings back, in one sentence.
    const UNDO: &'static str;
    /// Who may set it off.
    const TRIGGER: Trigger;
    /// What it needs to be allowed.
    const NEEDS: Permissions;
    /// Its options.
    const OPTIONS: &'static [OptionDoc];
    /// How soon it may repeat on one target, whatever the incident, where repeating does harm.
    const COOL_DOWN: Option<Duration> = None;
    /// Two runs at once in one account, project or cluster would add up to an outage: the second is told to wait.
    const ALONE: bool = false;
    /// The responders whose records of the same target its plan depends on.
    const SIBLINGS: &'static [&'static str] = &[];
    /// It takes evidence or sets marks: the guard's severity floor is not for it.
    const GENTLE: bool = false;

    /// The cloud that it works in.
    type Cloud: Cloud<Self::Target>;
    /// What it acts on.
    type Target: TargetKind;
    /// What it can be told.
    type Options: DeserializeOwned + Default + Send + Sync;
    /// Where it writes.
    type Slot: Slot<Api = Api<Self>>;

    /// Hands the connected wing what only the order has and the ledger must not keep: keys. Called before anything
    /// else, on a resume too.
    fn equip(_api: &Api<Self>, _options: &Self::Options) {}

    /// The changes that are needed. Reads only.
    ///
    /// # Errors
    /// [`crate::Kind::Unsupported`] when the target cannot be contained this way, or whatever a look-up answers.
    fn plan(api: &Api<Self>, scene: &Scene<'_, Self>) -> impl Future<Output = Result<Plan<Self::Slot>>> + Send;

    /// The same with what the ledger knows of the target, for a responder that depends on it.
    ///
    /// # Errors
    /// As [`plan`](Responder::plan).
    fn plan_knowing(
        api: &Api<Self>,
        scene: &Scene<'_, Self>,
        _known: &Known<Self::Slot>,
    ) -> impl Future<Output = Result<Plan<Self::Slot>>> + Send {
        Self::plan(api, scene)
    }
}

/// What the ledger knows of a target.
#[derive(Clone, Debug)]
pub struct Known<S: Slot> {
    /// The changes of the record that is planned over, each with what undo brings back as its before: what was done
    /// need not be visible any more, such as the role of a profile that was detached.
    pub recorded: Vec<Change<S>>,
    /// The records of the responders named in [`Responder::SIBLINGS`].
    pub siblings: Vec<Sibling>,
}

/// The look-ups that responder `R` gets.
pub type Api<R> = <<R as Responder>::Cloud as Cloud<<R as Responder>::Target>>::Api;

/// The target as responder `R` finds it.
pub type Facts<R> = <<R as Responder>::Cloud as Cloud<<R as Responder>::Target>>::Facts;

/// What a plan is made from.
pub struct Scene<'a, R: Responder + ?Sized> {
    /// What was asked for.
    pub target: &'a R::Target,
    /// How.
    pub options: &'a R::Options,
    /// What `identify` found, so that it is not read twice.
    pub facts: &'a Facts<R>,
    /// What we leave, and have perhaps already left, on what we make.
    pub mark: &'a Mark,
    /// The mark was made a moment ago: nothing carries it yet, so what carries it need not be looked for.
    pub fresh: bool,
}

/// A cloud as one kind of target needs it: made once a process, connected once an order.
pub trait Cloud<T: TargetKind>: Send + Sync + Sized + 'static {
    /// The look-ups, bound to the target's account, region or cluster.
    type Api: Send + Sync;
    /// What `identify` reads.
    type Facts: Send + Sync;

    /// From the environment. Cheap: what costs time is built on first use, or by [`warm`](Cloud::warm).
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] when a variable cannot be read; it names the variable.
    fn from_env() -> Result<Self>;

    /// Told who works with it and what that needs to be allowed, so that credentials that are made for an order (an
    /// assumed role) can be limited to it.
    #[must_use]
    fn needing(self, _responder: &'static str, _needs: Permissions) -> Self {
        self
    }

    /// Builds what every order needs, while the host waits for the first one.
    fn warm(&self) -> impl Future<Output = ()> + Send;

    /// The account, project or cluster that we run in: the scope where no guard gives one.
    ///
    /// # Errors
    /// Whatever the provider answers when asked who we are.
    fn home(&self) -> impl Future<Output = Result<Scope>> + Send;

    /// Clients for the target's account, region or cluster.
    ///
    /// # Errors
    /// [`crate::Kind::Denied`] without credentials; [`crate::Kind::Unavailable`] when the cluster does not answer.
    fn connect(&self, target: &T) -> impl Future<Output = Result<Self::Api>> + Send;

    /// The uid that `identify` will find, where the target itself carries it: then the ledger is read at the same time.
    fn uid(&self, _target: &T) -> Option<String> {
        None
    }

    /// Which resource the target really is.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] when it is gone; [`crate::Kind::Conflict`] when another one took its name.
    fn identify(&self, api: &Self::Api, target: &T) -> impl Future<Output = Result<Identity<Self::Facts>>> + Send;

    /// Whether the permissions are there, without using them. One line a permission.
    fn check(&self, api: &Self::Api, target: &T, needs: &Permissions) -> impl Future<Output = Vec<Check>> + Send;

    /// Whether we get into an account, project or cluster, and may do there what can be asked without a target. Nothing
    /// about what this cloud does not have.
    fn check_scope(&self, _scope: &Scope, _needs: &Permissions) -> impl Future<Output = Vec<Check>> + Send {
        async { Vec::new() }
    }
}

/// Which resource a target really is.
#[derive(Clone, Debug)]
pub struct Identity<F> {
    /// What is never used twice: an instance id, a numeric id, a UID. Part of the record's key.
    pub uid: String,
    /// The target under its full name: a pod resolved to its node, a name with its id.
    pub target: Target,
    /// Marks that ask for being left alone.
    pub exempt: Vec<Exemption>,
    /// What was read.
    pub facts: F,
}

/// A mark on the target that asks for being left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemption {
    /// The label or tag.
    pub mark: String,
    /// Whoever holds the target could have set it (a cloud tag or label): counts only with the guard's `trust_tags`.
    pub forgeable: bool,
}
