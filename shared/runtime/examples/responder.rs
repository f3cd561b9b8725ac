//! A whole responder over a file: the cloud is a JSON object of labels, and a label is what it sets. It is the
//! smallest example of a responder, and what the tests of the hosts run.
//!
//! `LABELS` names the file. Pods of some names make the cloud misbehave: `slow-…`, `throttled-…`, `denied-…`,
//! `panics-…`, `gone-…`.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use stanch_core::{
    Change, Check, Cloud, Error, Identity, Item, Key, Kind, Mark, OptionDoc, Permission, Permissions, Plan, Recorded,
    Remaining, Responder, Result, Saved, Scene, Scope, Seen, Slot, Store, Target, Trigger, Write,
    target::{Cluster, Pod},
};
use stanch_runtime::Binary;

fn main() -> ExitCode {
    Binary::<LabelPod>::new()
        .store("file", |path| async { Ok(FileStore(Mutex::new(PathBuf::from(path)))) })
        .lambda()
        .http()
        .pubsub()
        .run()
}

/// Labels a pod.
struct LabelPod;

/// How.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    text: Option<String>,
}

impl Responder for LabelPod {
    const NAME: &'static str = "label-pod";
    const ABOUT: &'static str = "Labels a pod";
    const UNDO: &'static str = "The label is as it was";
    const TRIGGER: Trigger = Trigger::Event;
    const NEEDS: Permissions = Permissions {
        plan: &[],
        apply: &[Permission::Kube { group: "", resource: "pods", verbs: &["patch"] }],
        revert: &[],
    };
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc { name: "text", form: "text, default suspect", about: "what the label says" }];

    type Cloud = File;
    type Target = Pod;
    type Options = Options;
    type Slot = Label;

    async fn plan(api: &File, scene: &Scene<'_, Self>) -> Result<Plan<Label>> {
        let slot = Label(scene.target.name.to_string());
        let before = api.read()?.get(&slot.0).cloned();
        let after = Some(scene.options.text.clone().unwrap_or_else(|| "suspect".to_owned()));
        Ok(Plan::empty().then([Change { slot, before, after }]).leaving([Remaining::new("the pod still runs")]))
    }
}

/// The label of one pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Label(String);

impl Slot for Label {
    type Api = File;
    type State = Option<String>;
    type Token = ();

    async fn look(&self, api: &File, _: &Mark) -> Result<Seen<Self>> {
        Ok(Seen { state: api.read()?.get(&self.0).cloned(), token: (), ids: Vec::new(), settling: None })
    }

    async fn write(change: Recorded<'_, Self>, _: &Seen<Self>, api: &File) -> Result<()> {
        if change.slot().0.starts_with("slow-") {
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
        let mut labels = api.read()?;
        match change.to() {
            Some(text) => labels.insert(change.slot().0.clone(), text.clone()),
            None => labels.remove(&change.slot().0),
        };
        save(&api.0, &labels)
    }

    fn what(&self, to: &Self::State) -> String {
        format!("label pod {} {}", self.0, to.as_deref().unwrap_or("no more"))
    }

    fn command(&self, to: &Self::State, _: &Mark) -> String {
        format!("kubectl label pod {} state{}", self.0, to.as_ref().map_or("-".to_owned(), |text| format!("={text}")))
    }
}

/// The cloud.
#[derive(Clone)]
struct File(PathBuf);

impl File {
    fn read(&self) -> Result<BTreeMap<String, String>> {
        load(&self.0)
    }
}

impl Cloud<Pod> for File {
    type Api = Self;
    type Facts = ();

    fn from_env() -> Result<Self> {
        std::env::var_os("LABELS")
            .map(|path| Self(path.into()))
            .ok_or_else(|| Error::invalid("LABELS", "must name a file"))
    }

    async fn warm(&self) {}

    async fn home(&self) -> Result<Scope> {
        Ok(Scope::Cluster(Cluster::Current))
    }

    async fn connect(&self, _: &Pod) -> Result<Self> {
        Ok(self.clone())
    }

    async fn identify(&self, _: &Self, target: &Pod) -> Result<Identity<()>> {
        let (kind, message) = match target.name.as_str().split('-').next() {
            Some("throttled") => (Kind::Throttled, "slow down"),
            Some("denied") => (Kind::Denied, "pods get is missing"),
            Some("gone") => (Kind::NotFound, "there is no such pod"),
            #[expect(clippy::panic, reason = "a defect, on purpose: the hosts must survive it")]
            Some("panics") => panic!("a defect of the cloud"),
            _ => {
                let uid = target.uid.as_ref().map_or_else(|| target.name.to_string(), ToString::to_string);
                return Ok(Identity { uid, target: Target::Pod(target.clone()), exempt: Vec::new(), facts: () });
            }
        };
        Err(Error::new(kind, "get pod", message).on(target.name.to_string()))
    }

    async fn check(&self, _: &Self, _: &Pod, needs: &Permissions) -> Vec<Check> {
        let line = |it: &Permission| Check { what: it.to_string(), ok: true, detail: "allowed".to_owned() };
        needs.apply.iter().map(line).collect()
    }

    async fn check_scope(&self, scope: &Scope, _: &Permissions) -> Vec<Check> {
        let ok = scope.to_string() != "context:closed";
        vec![Check { what: "reach it".to_owned(), ok, detail: if ok { "open" } else { "closed" }.to_owned() }]
    }
}

/// A ledger in a JSON file, for one process at a time.
struct FileStore(Mutex<PathBuf>);

impl Store for FileStore {
    fn load<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Item>>>> {
        Box::pin(async move {
            let path = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let items: BTreeMap<String, (u64, String)> = load(&path)?;
            let item = |key: &Key| {
                items.get(key.as_str()).map(|(version, body)| Item { version: *version, body: body.clone() })
            };
            Ok(keys.iter().map(item).collect())
        })
    }

    fn save<'a>(&'a self, writes: &'a [Write]) -> BoxFuture<'a, Result<Saved>> {
        Box::pin(async move {
            let path = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut items: BTreeMap<String, (u64, String)> = load(&path)?;
            let is_expected =
                |write: &Write| items.get(write.key.as_str()).map(|(version, _)| *version) == write.expected;
            if !writes.iter().all(is_expected) {
                return Ok(Saved::Moved);
            }
            for write in writes {
                if let Some(body) = &write.body {
                    items.insert(write.key.as_str().to_owned(), (write.version(), body.clone()));
                }
            }
            save(&path, &items).map(|()| Saved::Done)
        })
    }
}

fn load<T: Default + serde::de::DeserializeOwned>(path: &PathBuf) -> Result<T> {
    let broken = |cause: std::io::Error| Error::new(Kind::Internal, "read", "the file is broken").because(cause);
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| broken(error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(broken(error)),
    }
}

fn save<T: Serialize>(path: &PathBuf, value: &T) -> Result<()> {
    let broken = |cause: std::io::Error| Error::new(Kind::Internal, "write", "the file is broken").because(cause);
    let bytes = serde_json::to_vec(value).map_err(|error| broken(error.into()))?;
    // Whoever is killed in the middle, or reads meanwhile, must not meet half a file.
    let whole = path.with_extension("new");
    std::fs::write(&whole, bytes).and_then(|()| std::fs::rename(&whole, path)).map_err(broken)
}
