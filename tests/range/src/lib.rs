//! The practice range: everything that a responder talks to, on loopback ports, so that a test or
//! `./quickstart` can run a whole incident without a cloud account.
//!
//! Each simulator is a handle. It starts on an ephemeral port, **on a thread of its own** (a test may block,
//! pause its clock or drop its runtime without disturbing it), and stops when the handle is dropped. No
//! simulator trusts what it was told: each answers from its own state, which the handle exposes.
//!
//! | module | is | held honest by |
//! |---|---|---|
//! | [`gce`] | Compute Engine v1: instances, disks, snapshots, operations | the real `gcloud` |
//! | [`kube`] | a Kubernetes API server: nodes, pods, namespaces, reviews | the real API server ([`control_plane`]) and `kubectl` |
//! | [`lambda`] | the host side of the Lambda Runtime API, running a binary | `lambda_runtime` |
//! | [`moto`] | moto server in a Python venv, for EC2, `DynamoDB`, STS, IAM, EKS, Auto Scaling | moto's own tests |
//! | [`proxy`] | a reverse proxy that counts, refuses, loses answers and kills at call N | |
//! | [`oidc`] | an OIDC issuer whose tokens may be bad in every known way | |
//! | [`emulator`] | Google's emulators of Firestore and Pub/Sub, where installed | Google |
//! | [`control_plane`] | the real kube-apiserver, if one is to be had | |
//! | [`scenario`] | what `range up` seeds | |
//!
//! # GCE
//! ```no_run
//! use stanch_range::gce::{Disk, Gce, Instance};
//! let gce = Gce::start()?;
//! gce.seed(Instance::new("acme", "europe-west1-b", "web-1")
//!     .disk(Disk::zonal("web-1").size_gb(20).boot())
//!     .disk(Disk::regional("shared", &["europe-west1-b", "europe-west1-c"]))
//!     .local_ssd());
//! gce.allow("token-1", &["compute.instances.get", "compute.disks.createSnapshot"]);
//! // … run the responder against gce.endpoint() …
//! assert_eq!(gce.snapshots().len(), 2);
//! assert!(gce.log().iter().all(|call| !call.write || call.status == 200));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Kubernetes
//! ```no_run
//! use stanch_range::kube::{Kube, Rule};
//! let kube = Kube::start()?;
//! kube.add_node("node-b", serde_json::json!({"spec": {"providerID": "gce://acme/europe-west1-b/node-b"}}));
//! kube.allow("cordon", "system:serviceaccount:stanch:cordon", &[Rule::new(&["get", "patch"], "", &["nodes"])]);
//! kube.kubeconfig(std::path::Path::new("/tmp/kubeconfig"), "cordon")?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Lambda
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use stanch_range::lambda::Lambda;
//! use std::time::Duration;
//! let lambda = Lambda::new("target/release/aws-snapshot-volumes").env("STANCH_MODE", "enforce").start()?;
//! println!("ready after {:?}", lambda.ready(Duration::from_secs(5)).await);
//! let done = lambda.invoke(&serde_json::json!({"source": "aws.guardduty"}), Duration::from_secs(3)).await;
//! println!("{:?} in {:.1} ms", done.result, done.ms);
//! # Ok(())
//! # }
//! ```
//!
//! # A fault at call N
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! use stanch_range::proxy::{Dialect, Fault, Proxy};
//! let proxy = Proxy::start("http://127.0.0.1:5000", Dialect::Aws)?;
//! proxy.fault_at(3, Fault::KillAfter);
//! let task = tokio::spawn(async { /* the responder, through proxy.url() */ });
//! proxy.killed().await;      // the third call was carried out and will never be answered
//! task.abort();
//! proxy.revive();            // the next process finds a working network again
//! # Ok(())
//! # }
//! ```

pub mod control_plane;
pub mod emulator;
pub mod gce;
pub(crate) mod home;
pub(crate) mod host;
pub mod kube;
pub mod lambda;
pub mod moto;
pub mod oidc;
pub mod proxy;
pub mod scenario;

pub use host::Call;
