//! moto with a ledger of one's own, for what the contract cannot ask of every responder.

use std::sync::Arc;

use serde_json::Value;
use stanch_aws::Aws;
use stanch_core::{Driver, Guard, Mode, Report, Responder, Status, Store, Target};
use stanch_sqlite::Sqlite;
use stanch_tests::{Skipping, incident, order};

use crate::ec2::{self, Ec2};

/// moto behind a proxy that sees nothing but calls to the cloud: the ledger is a file.
pub(crate) struct World {
    pub(crate) ec2: Ec2,
    ledger: Arc<dyn Store>,
    pub(crate) clock: Skipping,
    pub(crate) guard: Guard,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Sqlite::open(folder.path().join("ledger.db").display().to_string()).expect("a ledger");
        Self {
            ec2: Ec2::start(),
            ledger: Arc::new(ledger),
            clock: Skipping::default(),
            guard: Ec2::guard(),
            _folder: folder,
        }
    }

    pub(crate) fn plant(&self, wanted: &Value) -> Target {
        ec2::target(&self.ec2.seed(wanted))
    }

    pub(crate) fn driver<R>(&self) -> Driver<R>
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        let clock = Arc::new(self.clock.clone());
        Driver::new(self.ec2.aws().into(), Arc::clone(&self.ledger), self.guard.clone(), clock)
            .limiting_calls(std::time::Duration::from_mins(10))
    }

    pub(crate) async fn run<R>(&self, mode: Mode, target: &Target, options: Value) -> Report
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        let mut request = order(&self.clock, mode, &incident("inc-case"), target);
        request.order.options = options;
        self.ec2.proxy.clear();
        Box::pin(self.driver::<R>().run(&request)).await
    }

    pub(crate) async fn apply<R>(&self, target: &Target, options: Value) -> Report
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        let report = self.run::<R>(Mode::Apply, target, options).await;
        assert_eq!(report.status, Status::Applied, "{report:#?}");
        report
    }

    pub(crate) async fn revert<R>(&self, target: &Target) -> Report
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        self.run::<R>(Mode::Revert, target, Value::Null).await
    }

    /// Applies, reverts, and holds what is there then against what was there before.
    pub(crate) async fn there_and_back<R>(&self, target: &Target, options: Value) -> Value
    where
        R: Responder,
        R::Cloud: From<Aws>,
    {
        let before = self.ec2.state(target);
        self.apply::<R>(target, options).await;
        let contained = self.ec2.state(target);
        assert_ne!(contained, before, "something was done");
        let back = self.revert::<R>(target).await;
        assert_eq!(back.status, Status::Reverted, "{back:#?}");
        assert_eq!(self.ec2.state(target), before, "undo is exact");
        contained
    }

    /// How many calls read, and how many wrote.
    pub(crate) fn counted(&self) -> (usize, usize) {
        let calls = self.ec2.proxy.calls();
        let reads = calls.iter().filter(|call| call.reads()).count();
        (reads, calls.len() - reads)
    }
}

pub(crate) fn remaining(report: &Report) -> String {
    report.remaining.iter().map(|it| it.what.as_str()).collect::<Vec<_>>().join("\n")
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
