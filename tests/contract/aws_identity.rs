//! Roles, users and the end of an instance, on moto, with the ledger in DynamoDB behind the same proxy.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_contain_principal::AwsContainPrincipal;
use aws_detach_role::AwsDetachRole;
use aws_terminate_instance::AwsTerminateInstance;
use serde_json::{Value, json};
use stanch_aws::Aws;
use stanch_core::{Guard, Responder, Store, Target};
use stanch_dynamodb::Dynamo;
use stanch_range::{
    moto::Moto,
    proxy::{Dialect, Proxy},
};

use crate::suite::{Bed, contract};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-central-1";

/// What every script begins with: the clients, and an instance or principal by its name.
const HEAD: &str = r#"
import boto3, json, os
want = json.loads(os.environ["RANGE_INPUT"])
ec2, iam, eks = (boto3.client(name, region_name="eu-central-1") for name in ("ec2", "iam", "eks"))
ACCOUNT = "123456789012"
def trust(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
def allow(principal, action="sts:AssumeRole", **more):
    return {"Effect": "Allow", "Principal": principal, "Action": action, **more}
def inline(kind, name):
    listed = getattr(iam, f"list_{kind}_policies")(**{f"{kind.capitalize()}Name": name})["PolicyNames"]
    get = getattr(iam, f"get_{kind}_policy")
    return {p: get(**{f"{kind.capitalize()}Name": name, "PolicyName": p})["PolicyDocument"] for p in listed}
def ours(kind, name):
    return [p for p in inline(kind, name) if p.startswith("stanch-")]
"#;

/// What is done to which kind of target.
pub(crate) trait Case: Sync {
    type R: Responder<Cloud: From<Aws>>;
    const KEEPS: bool = false;
    /// Makes a target; prints what names it in an order.
    const MAKE: &'static str;
    /// Prints its state; `want` is the target.
    const STATE: &'static str;
    const DRIFT: Option<(&'static str, &'static str)>;
    const UNDO: &'static str;
    fn options() -> Value {
        Value::Null
    }
    fn assert_contained(state: &Value);
}

/// A case on a moto of its own.
pub(crate) struct On<C> {
    pub(crate) moto: Moto,
    pub(crate) proxy: Proxy,
    made: AtomicUsize,
    case: std::marker::PhantomData<fn() -> C>,
}

impl<C: Case> On<C> {
    pub(crate) fn start() -> Self {
        let moto = Moto::start().expect("moto starts");
        let proxy = Proxy::start(&moto.url(), Dialect::Aws).expect("the proxy starts");
        Self { moto, proxy, made: AtomicUsize::new(0), case: std::marker::PhantomData }
    }

    /// The number of what is made next.
    pub(crate) fn next(&self) -> usize {
        self.made.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn script(&self, body: &str, want: &Value) -> Value {
        self.moto.python_with(&format!("{HEAD}{body}"), want).expect("the script runs")
    }
}

impl<C: Case> Bed for On<C> {
    type R = C::R;
    const KEEPS: bool = C::KEEPS;

    fn cloud(&self) -> <C::R as Responder>::Cloud {
        Aws::with(self.proxy.url(), REGION.parse().unwrap(), "range", "range").into()
    }

    fn empty_ledger(&self) -> Arc<dyn Store> {
        let table = format!("ledger-{}", self.next());
        // A trial begins with it: what the ones before have left would only be listed again and again.
        self.moto.reset().expect("moto forgets");
        self.moto.seed_table(&table).expect("a table");
        Arc::new(Dynamo::with(table, self.proxy.url(), REGION.parse().unwrap(), "range", "range"))
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    fn target(&self) -> Target {
        let made = self.script(C::MAKE, &json!(self.next()));
        serde_json::from_value(made).expect("a target")
    }

    fn guard(&self) -> Guard {
        Guard { accounts: Some(vec![ACCOUNT.parse().unwrap()]), ..Guard::default() }
    }

    fn state(&self, target: &Target) -> Value {
        self.script(C::STATE, &json!(target))
    }

    fn assert_contained(&self, state: &Value) {
        C::assert_contained(state);
    }

    fn drift(&self, target: &Target) -> Option<&'static str> {
        let (script, name) = C::DRIFT?;
        self.script(script, &json!(target));
        Some(name)
    }

    fn undo_by_hand(&self, target: &Target) {
        self.script(C::UNDO, &json!(target));
    }

    fn options(&self) -> Value {
        C::options()
    }
}

const MAKE_INSTANCE: &str = r#"
role, profile = f"web-{want}", f"profile-of-web-{want}"
iam.create_role(RoleName=role, Path="/team/web/", AssumeRolePolicyDocument=trust(allow({"Service": "ec2.amazonaws.com"})))
iam.put_role_policy(RoleName=role, PolicyName="app", PolicyDocument=json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}))
iam.create_instance_profile(InstanceProfileName=profile, Path="/team/profiles/")
iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
instance = ec2.run_instances(ImageId="ami-0a1b2c3d4e5f60718", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": profile})
ec2.create_tags(Resources=[instance], Tags=[{"Key": "role", "Value": role}])
print(json.dumps({"kind": "ec2-instance", "account": ACCOUNT, "region": "eu-central-1", "id": instance}))
"#;

const STATE_OF_INSTANCE: &str = r#"
instance = ec2.describe_instances(InstanceIds=[want["id"]])["Reservations"][0]["Instances"][0]
role = [t["Value"] for t in instance["Tags"] if t["Key"] == "role"][0]
found = ec2.describe_iam_instance_profile_associations(Filters=[{"Name": "instance-id", "Values": [want["id"]]}])
print(json.dumps({
    "id": want["id"], "state": instance["State"]["Name"],
    "profiles": [a["IamInstanceProfile"]["Arn"] for a in found["IamInstanceProfileAssociations"]],
    "imds": instance.get("MetadataOptions", {}).get("HttpEndpoint", "enabled"),
    "policies": inline("role", role), "ours": [inline("role", role)[p] for p in ours("role", role)],
}))
"#;

const UNDO_ON_INSTANCE: &str = r#"
instance = ec2.describe_instances(InstanceIds=[want["id"]])["Reservations"][0]["Instances"][0]
role = [t["Value"] for t in instance["Tags"] if t["Key"] == "role"][0]
for p in ours("role", role):
    iam.delete_role_policy(RoleName=role, PolicyName=p)
found = ec2.describe_iam_instance_profile_associations(Filters=[{"Name": "instance-id", "Values": [want["id"]]}])
for a in found["IamInstanceProfileAssociations"]:
    ec2.disassociate_iam_instance_profile(AssociationId=a["AssociationId"])
ec2.associate_iam_instance_profile(InstanceId=want["id"], IamInstanceProfile={"Name": f"profile-of-{role}"})
"#;

const DRIFT_OF_INSTANCE: &str = r#"
instance = ec2.describe_instances(InstanceIds=[want["id"]])["Reservations"][0]["Instances"][0]
role = [t["Value"] for t in instance["Tags"] if t["Key"] == "role"][0]
for p in ours("role", role):
    iam.put_role_policy(RoleName=role, PolicyName=p, PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}))
"#;

pub(crate) struct DetachRole;

impl Case for DetachRole {
    type R = AwsDetachRole;
    const MAKE: &'static str = MAKE_INSTANCE;
    const STATE: &'static str = STATE_OF_INSTANCE;
    const DRIFT: Option<(&'static str, &'static str)> = Some((DRIFT_OF_INSTANCE, "remove our deny"));
    const UNDO: &'static str = UNDO_ON_INSTANCE;

    fn assert_contained(state: &Value) {
        assert_eq!(state["profiles"], json!([]), "{state:#}");
        let statement = &state["ours"][0]["Statement"][0];
        let whose = format!("*:{}", state["id"].as_str().unwrap());
        assert_eq!(statement["Condition"], json!({"StringLike": {"aws:userid": whose}}), "{state:#}");
        assert_eq!((&statement["Effect"], &statement["Action"]), (&json!("Deny"), &json!("*")));
        assert_eq!(state["ours"].as_array().unwrap().len(), 1, "{state:#}");
    }
}

/// All sessions of the role, and the metadata service off.
pub(crate) struct DetachRoleAll;

impl Case for DetachRoleAll {
    type R = AwsDetachRole;
    const MAKE: &'static str = MAKE_INSTANCE;
    const STATE: &'static str = STATE_OF_INSTANCE;
    const DRIFT: Option<(&'static str, &'static str)> = Some((DRIFT_OF_INSTANCE, "remove our deny"));
    const UNDO: &'static str = UNDO_ON_INSTANCE;

    fn options() -> Value {
        json!({"sessions": "all", "disable_imds": true})
    }

    fn assert_contained(state: &Value) {
        assert_eq!((&state["profiles"], &state["imds"]), (&json!([]), &json!("disabled")), "{state:#}");
        let bound = &state["ours"][0]["Statement"][0]["Condition"]["DateLessThan"]["aws:TokenIssueTime"];
        bound.as_str().unwrap().parse::<jiff::Timestamp>().expect("a time");
    }
}

const PROVIDER: &str = "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF";

/// A role that pods come to both ways, and people a third.
pub(crate) struct ContainRole;

impl Case for ContainRole {
    type R = AwsContainPrincipal;
    const MAKE: &'static str = r#"
role, provider = f"shop-{want}", "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF"
arn = iam.create_role(RoleName=role, Path="/pods/", AssumeRolePolicyDocument=trust(
    allow({"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{provider}"}, "sts:AssumeRoleWithWebIdentity",
          Condition={"StringEquals": {f"{provider}:sub": ["system:serviceaccount:web:shop"]}}),
    allow({"Service": "pods.eks.amazonaws.com"}, ["sts:AssumeRole", "sts:TagSession"]),
    allow({"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"})))["Role"]["Arn"]
managed = iam.create_policy(PolicyName=role, PolicyDocument=json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}))
iam.attach_role_policy(RoleName=role, PolicyArn=managed["Policy"]["Arn"])
if "prod" not in eks.list_clusters()["clusters"]:
    eks.create_cluster(name="prod", roleArn=arn, resourcesVpcConfig={})
for a in eks.list_pod_identity_associations(clusterName="prod")["associations"]:
    eks.delete_pod_identity_association(clusterName="prod", associationId=a["associationId"])
for account in (f"shop-{want}", f"cart-{want}"):
    eks.create_pod_identity_association(clusterName="prod", namespace="web", serviceAccount=account, roleArn=arn, tags={"team": "web"})
print(json.dumps({"kind": "iam-principal", "account": ACCOUNT, "role": role}))
"#;
    const STATE: &'static str = r#"
role = iam.get_role(RoleName=want["role"])["Role"]
found = [eks.describe_pod_identity_association(clusterName="prod", associationId=a["associationId"])["association"]
         for a in eks.list_pod_identity_associations(clusterName="prod")["associations"]]
mine = sorted(({k: a[k] for k in ("namespace", "serviceAccount", "roleArn", "tags")} for a in found if a["roleArn"] == role["Arn"]), key=str)
print(json.dumps({
    "trust": role["AssumeRolePolicyDocument"], "pods": mine, "policies": inline("role", want["role"]),
    "ours": [inline("role", want["role"])[p] for p in ours("role", want["role"])],
    "attached": [p["PolicyArn"] for p in iam.list_attached_role_policies(RoleName=want["role"])["AttachedPolicies"]],
}))
"#;
    const DRIFT: Option<(&'static str, &'static str)> = Some((
        r#"
document = iam.get_role(RoleName=want["role"])["Role"]["AssumeRolePolicyDocument"]
document["Statement"].append(allow({"Service": "lambda.amazonaws.com"}))
iam.update_assume_role_policy(RoleName=want["role"], PolicyDocument=json.dumps(document))
"#,
        "set who may assume",
    ));
    const UNDO: &'static str = r#"
role = iam.get_role(RoleName=want["role"])["Role"]
document = role["AssumeRolePolicyDocument"]
document["Statement"] = [s for s in document["Statement"] if not s.get("Sid", "").startswith("Stanch")]
iam.update_assume_role_policy(RoleName=want["role"], PolicyDocument=json.dumps(document))
for p in ours("role", want["role"]):
    iam.delete_role_policy(RoleName=want["role"], PolicyName=p)
number = want["role"].split("-")[1]
for account in (f"shop-{number}", f"cart-{number}"):
    eks.create_pod_identity_association(clusterName="prod", namespace="web", serviceAccount=account, roleArn=role["Arn"], tags={"team": "web"})
iam.attach_role_policy(RoleName=want["role"], PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/{want['role']}")
"#;

    fn options() -> Value {
        json!({"detach_policies": true, "clusters": ["eu-central-1/prod"]})
    }

    fn assert_contained(state: &Value) {
        let statements = state["trust"]["Statement"].as_array().unwrap();
        let deny: Vec<_> = statements.iter().filter(|statement| statement["Effect"] == "Deny").collect();
        assert_eq!(deny.len(), 1, "{state:#}");
        assert_eq!(deny[0]["Action"], "sts:AssumeRoleWithWebIdentity");
        let subjects = json!({"StringEquals": {format!("{PROVIDER}:sub"): "system:serviceaccount:web:shop"}});
        assert_eq!(deny[0]["Condition"], subjects, "{state:#}");
        assert_eq!((&state["pods"], &state["attached"]), (&json!([]), &json!([])), "{state:#}");
        assert_eq!(state["ours"].as_array().unwrap().len(), 1, "{state:#}");
        let bound = &state["ours"][0]["Statement"][0]["Condition"]["DateLessThan"]["aws:TokenIssueTime"];
        bound.as_str().unwrap().parse::<jiff::Timestamp>().expect("a time");
    }
}

/// A user with a key that works and one that does not.
pub(crate) struct ContainUser;

impl Case for ContainUser {
    type R = AwsContainPrincipal;
    const MAKE: &'static str = r#"
user = f"ann-{want}"
iam.create_user(UserName=user, Path="/people/")
on, off = (iam.create_access_key(UserName=user)["AccessKey"]["AccessKeyId"] for _ in range(2))
iam.update_access_key(UserName=user, AccessKeyId=off, Status="Inactive")
print(json.dumps({"kind": "iam-principal", "account": ACCOUNT, "access_key": on}))
"#;
    const STATE: &'static str = r#"
user = iam.get_access_key_last_used(AccessKeyId=want["access_key"])["UserName"]
keys = {k["AccessKeyId"]: k["Status"] for k in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]}
print(json.dumps({"accused": keys.pop(want["access_key"]), "others": list(keys.values()), "policies": inline("user", user),
                  "ours": [inline("user", user)[p] for p in ours("user", user)]}))
"#;
    const DRIFT: Option<(&'static str, &'static str)> = Some((
        r#"
user = iam.get_access_key_last_used(AccessKeyId=want["access_key"])["UserName"]
for p in ours("user", user):
    iam.put_user_policy(UserName=user, PolicyName=p, PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}))
"#,
        "remove our deny",
    ));
    const UNDO: &'static str = r#"
user = iam.get_access_key_last_used(AccessKeyId=want["access_key"])["UserName"]
iam.update_access_key(UserName=user, AccessKeyId=want["access_key"], Status="Active")
for p in ours("user", user):
    iam.delete_user_policy(UserName=user, PolicyName=p)
"#;

    fn assert_contained(state: &Value) {
        assert_eq!((&state["accused"], &state["others"]), (&json!("Inactive"), &json!(["Inactive"])), "{state:#}");
        let statement = &state["ours"][0]["Statement"][0];
        assert_eq!((&statement["Effect"], &statement["Action"]), (&json!("Deny"), &json!("*")), "{state:#}");
        assert!(statement.get("Condition").is_none(), "{state:#}");
    }
}

pub(crate) struct Terminate;

impl Case for Terminate {
    type R = AwsTerminateInstance;
    const KEEPS: bool = true;
    const MAKE: &'static str = MAKE_INSTANCE;
    const STATE: &'static str = r#"
instance = ec2.describe_instances(InstanceIds=[want["id"]])["Reservations"][0]["Instances"][0]
print(json.dumps(instance["State"]["Name"]))
"#;
    const DRIFT: Option<(&'static str, &'static str)> = None;
    /// moto can do what AWS cannot.
    const UNDO: &'static str = "ec2.start_instances(InstanceIds=[want['id']])";

    fn options() -> Value {
        json!({"without_snapshot": true})
    }

    fn assert_contained(state: &Value) {
        assert_eq!(*state, json!("terminated"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_detach_role() {
    Box::pin(contract(&On::<DetachRole>::start())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_detach_role_from_everyone() {
    Box::pin(contract(&On::<DetachRoleAll>::start())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_contain_principal_role() {
    Box::pin(contract(&On::<ContainRole>::start())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_contain_principal_user() {
    Box::pin(contract(&On::<ContainUser>::start())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_terminate_instance() {
    Box::pin(contract(&On::<Terminate>::start())).await;
}
