//! A GuardDuty finding about a pod on EKS, through Lambda: `DescribeCluster`, the presigned token, and the real API server
//! with only the declared RBAC.

use std::{
    fs,
    net::TcpListener,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use stanch_core::Target;
use stanch_range::{lambda::Lambda, moto::Moto};
use stanch_tests::root;

use crate::{
    aws::invoke,
    k8s::{NODE, POD, World},
    service::bootstrap,
};

const ACCOUNT: &str = "123456789012";
const CLUSTER: &str = "eks:123456789012/eu-central-1/prod";
/// EKS takes larger bodies; ours are small.
const LARGEST: usize = 1 << 20;

/// EKS: tells where the cluster is, and lets those in whom STS would vouch for, as the one whom its access entry names.
#[derive(Clone)]
struct Eks {
    client: reqwest::Client,
    server: String,
    user: String,
    /// What was signed by whoever came.
    vouchers: Arc<Mutex<Vec<String>>>,
}

impl Eks {
    fn start(kubeconfig: &str) -> (String, Self) {
        let config: Value = serde_json::from_slice(&fs::read(kubeconfig).unwrap()).unwrap();
        let said = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        let ca = said("/clusters/0/cluster/certificate-authority-data");
        let trusted = reqwest::Certificate::from_pem_bundle(&STANDARD.decode(&ca).unwrap()).unwrap();
        let eks = Self {
            client: reqwest::Client::builder().no_proxy().tls_certs_only(trusted).build().unwrap(),
            server: said("/clusters/0/cluster/server"),
            user: said("/users/0/user/token"),
            vouchers: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let told = json!({"cluster": {
            "name": "prod", "arn": format!("arn:aws:eks:eu-central-1:{ACCOUNT}:cluster/prod"), "status": "ACTIVE",
            "endpoint": url, "certificateAuthority": {"data": ca},
        }});
        let app = Router::new()
            .route("/clusters/prod", get(async move || Json(told)))
            .fallback(Self::forward)
            .with_state(eks.clone());
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, eks)
    }

    async fn forward(State(eks): State<Self>, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let voucher =
            head.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()?.strip_prefix("Bearer k8s-aws-v1."));
        let Some(voucher) = voucher.and_then(|it| String::from_utf8(URL_SAFE_NO_PAD.decode(it).ok()?).ok()) else {
            return StatusCode::UNAUTHORIZED.into_response();
        };
        eks.vouchers.lock().unwrap().push(voucher);
        let body = axum::body::to_bytes(body, LARGEST).await.unwrap();
        let mut ours = eks.client.request(head.method, format!("{}{}", eks.server, head.uri));
        if let Some(kind) = head.headers.get("content-type") {
            ours = ours.header("content-type", kind);
        }
        let answer = ours.bearer_auth(&eks.user).body(body).send().await.unwrap();
        (answer.status(), answer.bytes().await.unwrap()).into_response()
    }
}

/// A finding of the documented form, about the pod that is there, now.
fn finding() -> Value {
    let path = root().join("tests/fixtures/guardduty/eks-runtime.json");
    let text =
        fs::read_to_string(path).unwrap().replace("210987654321", ACCOUNT).replace("cluster/shop", "cluster/prod");
    let mut event: Value = serde_json::from_str(&text).unwrap();
    let resource = &mut event["detail"]["resource"];
    resource["eksClusterDetails"]["name"] = json!("prod");
    let pod = &mut resource["kubernetesDetails"]["kubernetesWorkloadDetails"];
    (pod["name"], pod["namespace"], pod["uid"]) = (json!(POD), json!("default"), Value::Null);
    event["detail"]["service"]["eventLastSeen"] = json!(jiff::Timestamp::now().to_string());
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_about_a_pod_on_eks_cordons_its_node() {
    let Some(world) = World::start("e2e-eks", None) else { return };
    let folder = tempfile::tempdir().unwrap();
    let moto = Moto::start().expect("moto starts");
    moto.seed_table("stanch-ledger").unwrap();
    let (url, eks) = Eks::start(&world.kubeconfig);
    let mut lambda = Lambda::new(bootstrap("k8s-cordon-node", folder.path()))
        .env("AWS_ENDPOINT_URL_EKS", &url)
        .env("STANCH_CLUSTER", CLUSTER)
        .env("STANCH_LEDGER", "dynamodb:stanch-ledger")
        .env("STANCH_MODE", "enforce");
    for (name, value) in moto.env() {
        lambda = lambda.env(name, value);
    }
    let function = lambda.start().expect("the function starts");

    let event = finding();
    let first = invoke(&function, &event).await;
    assert_eq!(first["status"], "applied", "{first:#}");
    let target: Target = serde_json::from_value(first["target"].clone()).unwrap();
    let Target::Node(node) = target else { panic!("{target}") };
    assert_eq!((node.cluster.to_string().as_str(), node.name.as_str()), (CLUSTER, NODE));
    assert_eq!(world.node(), (true, true));
    for voucher in eks.vouchers.lock().unwrap().drain(..) {
        assert!(voucher.starts_with("https://sts.eu-central-1.amazonaws.com/?"), "{voucher}");
        for part in ["Action=GetCallerIdentity", "X-Amz-SignedHeaders=host%3Bx-k8s-aws-id", "X-Amz-Signature="] {
            assert!(voucher.contains(part), "{voucher}");
        }
    }
    assert_eq!(invoke(&function, &event).await["status"], "already");

    let undo = json!({"mode": "revert", "incident": first["incident"], "target": first["target"]});
    let back = invoke(&function, &undo).await;
    assert_eq!((&back["status"], world.node()), (&json!("reverted"), (false, false)), "{back:#}");
}
