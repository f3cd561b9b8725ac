//! A cluster, its administrator, and the responder as a user of few permissions.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use k8s_cordon_node::K8sCordonNode;
use serde_json::{Value, json};
use stanch_core::{
    Caller, Cause, Clock, Driver, Guard, Item, Key, Limits, Mode, Order, Report, Request, Responder, Result, Saved,
    Store, Target, Write, target::Cluster,
};
use stanch_k8s::Kube;
use stanch_range::{
    control_plane::ControlPlane,
    kube::{Kube as Simulator, Rule},
};

/// The declared permissions, one by one.
pub(crate) const DECLARED: &[(&str, &str)] =
    &[("get", "nodes"), ("get", "pods"), ("list", "pods"), ("get", "namespaces"), ("patch", "nodes")];

pub(crate) enum Bed {
    Simulator(Simulator),
    Real(Box<ControlPlane>),
}

/// One process with a ledger of its own.
pub(crate) struct Ward {
    driver: Driver<K8sCordonNode>,
    _folder: tempfile::TempDir,
}

pub(crate) fn cluster() -> Cluster {
    Cluster::Current
}

fn number() -> usize {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    MADE.fetch_add(1, Ordering::SeqCst)
}

impl Bed {
    pub(crate) fn ward(&self, rules: &[(&str, &str)]) -> Ward {
        let folder = tempfile::tempdir().unwrap();
        let user = format!("cordon-{}-{}", std::process::id(), number());
        let path = match self {
            Self::Simulator(simulator) => {
                let rules: Vec<_> = rules.iter().map(|(verb, resource)| Rule::new(&[verb], "", &[resource])).collect();
                simulator.allow(&user, &format!("system:serviceaccount:stanch:{user}"), &rules);
                let path = folder.path().join("kubeconfig");
                simulator.kubeconfig(&path, &user).unwrap();
                path
            }
            Self::Real(real) => {
                let rule = |(verb, resource): &(&str, &str)| json!({"apiGroups": [""], "resources": [resource], "verbs": [verb]});
                real.user_kubeconfig(&user, &rules.iter().map(rule).collect()).unwrap()
            }
        };
        let limits = Limits { per_ten_minutes: 1_000, per_day: 1_000, ..Limits::default() };
        let guard = Guard { limits: [(K8sCordonNode::NAME.to_owned(), limits)].into(), ..Guard::default() };
        let driver = Driver::new(Kube::with_kubeconfig(path, None), Arc::new(Memory::default()), guard, Arc::new(Real));
        Ward { driver, _folder: folder }
    }

    fn admin(&self, method: &str, path: &str, content_type: &str, body: Option<&Value>) -> (u16, Value) {
        let Self::Real(real) = self else { panic!("the simulator has no administrator") };
        real.admin(method, path, content_type, body).unwrap()
    }

    fn create(&self, path: &str, object: &Value) {
        for _ in 0..50 {
            match self.admin("POST", path, "application/json", Some(object)) {
                (201, _) => return,
                // A new namespace takes no pods before it has a service account.
                (403, _) => std::thread::sleep(Duration::from_millis(100)),
                (status, answer) => panic!("{path}: {status} {answer}"),
            }
        }
        panic!("{path}: it is not ready");
    }

    pub(crate) fn add_node(&self, name: &str, given: Value) {
        match self {
            Self::Simulator(simulator) => drop(simulator.add_node(name, given)),
            Self::Real(_) => {
                let mut node = given;
                node["metadata"]["name"] = name.into();
                self.create("/api/v1/nodes", &node);
            }
        }
    }

    pub(crate) fn add_namespace(&self, name: &str, labels: &Value) {
        match self {
            Self::Simulator(simulator) => drop(simulator.add_namespace(name, json!({"metadata": {"labels": labels}}))),
            Self::Real(_) => self.create("/api/v1/namespaces", &json!({"metadata": {"name": name, "labels": labels}})),
        }
    }

    pub(crate) fn add_pod(&self, namespace: &str, name: &str, node: &str) {
        match self {
            Self::Simulator(simulator) => drop(simulator.add_pod(namespace, name, node, json!({}))),
            Self::Real(_) => self.create(
                &format!("/api/v1/namespaces/{namespace}/pods"),
                &json!({"metadata": {"name": name}, "spec": {
                    "nodeName": node, "containers": [{"name": "main", "image": "example.com/app:1"}],
                }}),
            ),
        }
    }

    /// Somebody else's write.
    pub(crate) fn edit(&self, name: &str, merge: &Value) {
        match self {
            Self::Simulator(simulator) => simulator.edit_node(name, merge),
            Self::Real(_) => {
                let path = format!("/api/v1/nodes/{name}");
                assert_eq!(self.admin("PATCH", &path, "application/merge-patch+json", Some(merge)).0, 200);
            }
        }
    }

    /// As the administrator sees it.
    pub(crate) fn see(&self, name: &str) -> Value {
        match self {
            Self::Simulator(simulator) => simulator.node(name).unwrap(),
            Self::Real(_) => self.admin("GET", &format!("/api/v1/nodes/{name}"), "", None).1,
        }
    }

    pub(crate) fn clear_log(&self) {
        if let Self::Simulator(simulator) = self {
            simulator.clear_log();
        }
    }

    /// How many calls were made since; only the simulator counts.
    pub(crate) fn assert_calls(&self, expected: RangeInclusive<usize>) {
        if let Self::Simulator(simulator) = self {
            let calls = simulator.log();
            assert!(expected.contains(&calls.len()), "{} calls: {calls:#?}", calls.len());
        }
    }

    /// Waits until the node controller has taken its own taint off, where one runs.
    pub(crate) async fn settled(&self, name: &str) {
        for _ in 0..50 {
            if self.see(name)["spec"].get("taints").is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Ward {
    pub(crate) async fn run(&self, mode: Mode, target: &Target, options: Value) -> Report {
        let order = Order {
            mode,
            incident: "inc-1".parse().unwrap(),
            target: target.clone(),
            options,
            requested_by: None,
            protected: false,
        };
        let request = Request {
            order,
            cause: Cause::Person,
            caller: Caller { id: "analyst@example.com".to_owned(), proved_at: None },
            id: format!("delivery-{}", number()),
            deadline: Timestamp::now() + SignedDuration::from_mins(5),
        };
        self.driver.run(&request).await
    }
}

struct Real;

impl Clock for Real {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn pause(&self, wait: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(wait).boxed()
    }
    fn limit(&self, wait: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(wait).boxed()
    }
    fn chance(&self) -> u64 {
        7
    }
}

#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Item>>);

impl Store for Memory {
    fn load<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Item>>>> {
        let items = self.0.lock().unwrap();
        let found = keys.iter().map(|key| items.get(key.as_str()).cloned()).collect();
        async move { Ok(found) }.boxed()
    }

    fn save<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Result<Saved>> {
        let mut items = self.0.lock().unwrap();
        let fresh = writes.iter().all(|write| items.get(write.key.as_str()).map(|it| it.version) == write.expected);
        if fresh {
            for write in writes {
                if let Some(body) = &write.body {
                    items.insert(write.key.as_str().to_owned(), Item { version: write.version(), body: body.clone() });
                }
            }
        }
        async move { Ok(if fresh { Saved::Done } else { Saved::Moved }) }.boxed()
    }
}
