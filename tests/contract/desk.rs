//! Several responders at one ledger, as they are deployed.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use stanch_aws::Aws;
use stanch_core::{Driver, Guard, Mode, Report, Responder, Store, Target};
use stanch_range::proxy::{CallInfo, Proxy};
use stanch_sqlite::Sqlite;
use stanch_tests::{Skipping, incident, order};

use crate::ec2::ACCOUNT;

/// One ledger for all responders, as they are deployed.
pub(crate) struct Desk<'a> {
    proxy: &'a Proxy,
    pub(crate) clock: Skipping,
    ledger: Arc<dyn Store>,
    pub(crate) guard: Guard,
    _folder: tempfile::TempDir,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(proxy: &'a Proxy) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = Arc::new(Sqlite::open(folder.path().join("ledger.db")).expect("a ledger"));
        let guard = Guard { accounts: Some(vec![ACCOUNT.parse().unwrap()]), ..Guard::default() };
        Self { proxy, clock: Skipping::default(), ledger, guard, _folder: folder }
    }

    pub(crate) fn aws(&self) -> Aws {
        Aws::with(self.proxy.url(), "eu-central-1".parse().unwrap(), "range", "range")
    }

    pub(crate) fn driver<R: Responder>(&self, cloud: R::Cloud) -> Driver<R> {
        Driver::new(cloud, Arc::clone(&self.ledger), self.guard.clone(), Arc::new(self.clock.clone()))
            .limiting_calls(Duration::from_mins(10))
    }

    pub(crate) async fn run<R: Responder<Cloud: From<Aws>>>(
        &self,
        mode: Mode,
        target: &Target,
        options: Value,
    ) -> Report {
        let mut request = order(&self.clock, mode, &incident("case-1"), target);
        request.order.options = options;
        self.driver::<R>(self.aws().into()).run(&request).await
    }
}

pub(crate) fn says(report: &Report, text: &str) -> bool {
    report.reason.as_ref().is_some_and(|reason| reason.contains(text))
}

pub(crate) fn leaves(report: &Report, text: &str) -> bool {
    report.remaining.iter().any(|it| it.what.contains(text))
}

pub(crate) fn is(action: &'static str) -> impl Fn(&CallInfo) -> bool + Send + 'static {
    move |call| call.action.as_deref() == Some(action)
}

pub(crate) fn actions(proxy: &Proxy) -> Vec<String> {
    let mut actions = proxy.actions();
    actions.sort();
    actions
}
