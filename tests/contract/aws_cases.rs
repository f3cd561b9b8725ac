//! EC2 instances of every kind, protected, marked, released and cut off the internet on moto, and read back by boto3.

use aws_mark_instance::AwsMarkInstance;
use aws_protect_instance::AwsProtectInstance;
use aws_release_instance::AwsReleaseInstance;
use aws_remove_public_ip::AwsRemovePublicIp;
use serde_json::{Value, json};
use stanch_core::{Kind, Mode, Status};
use stanch_range::proxy::ec2_error;

use crate::{
    aws_world::{World, remaining, text},
    ec2::id,
};

#[tokio::test(flavor = "multi_thread")]
async fn six_volumes_are_protected_in_one_stage() {
    let world = World::new();
    let target = world.plant(&json!({"volumes": 6}));
    let report = world.apply::<AwsProtectInstance>(&target, Value::Null).await;
    // Three attributes, and the volumes that go with the instance; each written once and seen once.
    let writes = report.changes.len();
    assert_eq!(writes, 2 + 3, "stop on shutdown was so before: {report:#?}");
    assert_eq!(world.counted(), (1 + 3 + writes, writes), "{:?}", world.ec2.proxy.actions());
    let actions = world.ec2.proxy.actions();
    let first = actions.iter().position(|it| it == "ModifyInstanceAttribute").unwrap();
    assert!(
        actions[first..].iter().filter(|it| *it == "ModifyInstanceAttribute").count() == writes,
        "one stage: {actions:?}"
    );
    let state = world.ec2.state(&target);
    for mapping in state["instance"]["BlockDeviceMappings"].as_array().unwrap() {
        assert_eq!(mapping["Ebs"]["DeleteOnTermination"], false);
    }
    assert_eq!(state["attributes"]["disableApiTermination"]["Value"], true);
    let again = world.run::<AwsProtectInstance>(Mode::Apply, &target, Value::Null).await;
    assert_eq!((again.status, world.counted().1), (Status::Already, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn spot_instances_get_what_ec2_gives_them() {
    let world = World::new();
    for kind in [json!({"volumes": 2}), json!({"volumes": 3, "stopped": true})] {
        let target = world.plant(&kind);
        let contained = world.there_and_back::<AwsProtectInstance>(&target, Value::Null).await;
        assert_eq!(contained["attributes"]["disableApiStop"]["Value"], true);
    }
    let spot = world.plant(&json!({"spot": true, "volumes": 2}));
    world.ec2.on(
        &spot,
        "ec2.modify_instance_attribute(InstanceId=want, InstanceInitiatedShutdownBehavior={'Value': 'terminate'})",
    );
    let before = world.ec2.state(&spot);
    let report = world.apply::<AwsProtectInstance>(&spot, Value::Null).await;
    assert!(remaining(&report).contains("neither termination nor stop protection"), "{report:#?}");
    let state = world.ec2.state(&spot);
    assert_eq!(state["attributes"]["disableApiTermination"]["Value"], false);
    assert_eq!(state["attributes"]["instanceInitiatedShutdownBehavior"]["Value"], "stop");
    assert!(
        state["instance"]["BlockDeviceMappings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["Ebs"]["DeleteOnTermination"] == false)
    );
    world.revert::<AwsProtectInstance>(&spot).await;
    assert_eq!(world.ec2.state(&spot), before);
    // The range refuses what EC2 refuses.
    let refused = world.ec2.on(
        &spot,
        "\
try:
    ec2.modify_instance_attribute(InstanceId=want, DisableApiTermination={'Value': True})
except Exception as error:
    print(json.dumps(str(error)))
",
    );
    assert!(refused.as_str().is_some_and(|said| said.contains("not supported for spot instances")), "{refused}");

    // What was protected before stays so; shutting down has nothing to protect any more.
    let member = world.plant(&json!({"group": {"min": 1, "max": 2, "desired": 2}}));
    world.ec2.on(&member, "ec2.modify_instance_attribute(InstanceId=want, DisableApiTermination={'Value': True})");
    let contained = world.there_and_back::<AwsProtectInstance>(&member, Value::Null).await;
    assert_eq!(contained["scaling"][0]["ProtectedFromScaleIn"], true);
    assert_eq!(world.ec2.state(&member)["attributes"]["disableApiTermination"]["Value"], true);
    let gone = world.plant(&json!({}));
    world.ec2.on(&gone, "ec2.terminate_instances(InstanceIds=[want])");
    let report = world.run::<AwsProtectInstance>(Mode::Apply, &gone, Value::Null).await;
    assert_eq!(report.error, Some(Kind::NotFound), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_four_tags_and_undo_brings_back_what_was() {
    let world = World::new();
    let target = world.plant(&json!({"tags": {"stanch:incident": "old", "Name": "web"}}));
    let contained = world.there_and_back::<AwsMarkInstance>(&target, json!({"status": "compromised"})).await;
    let tags = contained["instance"]["Tags"].as_array().unwrap();
    assert!(tags.contains(&json!({"Key": "stanch:status", "Value": "compromised"})), "{tags:#?}");
    assert!(tags.contains(&json!({"Key": "stanch:incident", "Value": "inc-case"})));
    let fresh = world.plant(&json!({}));
    world.apply::<AwsMarkInstance>(&fresh, Value::Null).await;
    assert_eq!(world.counted(), (1 + 4, 4), "{:?}", world.ec2.proxy.actions());
}

#[tokio::test(flavor = "multi_thread")]
async fn public_addresses_go_and_ec2_gives_no_other() {
    let world = World::new();
    // Launched with an address of its own, which an Elastic IP address replaced: losing it would bring a new one.
    let target = world.plant(&json!({"interfaces": [{"address": "elastic", "auto": true}, {"address": "elastic"}]}));
    let contained = world.there_and_back::<AwsRemovePublicIp>(&target, Value::Null).await;
    assert!(!contained.to_string().contains("PublicIp\":"), "{contained:#}");
    assert!(contained["auto_assign"].as_object().unwrap().values().all(|on| on == false));
    // IPv6 stays, and is named; or goes.
    let dual = world.plant(&json!({"interfaces": [{"ipv6": 2, "address": "elastic"}]}));
    let report = world.run::<AwsRemovePublicIp>(Mode::Plan, &dual, Value::Null).await;
    assert_eq!(remaining(&report).matches(" keeps ").count(), 2, "{report:#?}");
    let contained = world.there_and_back::<AwsRemovePublicIp>(&dual, json!({"ipv6": "unassign"})).await;
    assert_eq!(contained["interfaces"][0]["Ipv6Addresses"], json!([]));
    // An address that EC2 assigned comes back as another one, and the plan says so.
    let auto = world.plant(&json!({"interfaces": [{"address": "auto"}]}));
    let had = text(&world.ec2.state(&auto)["instance"], "PublicIpAddress").to_owned();
    let report = world.apply::<AwsRemovePublicIp>(&auto, Value::Null).await;
    assert!(remaining(&report).contains(&format!("{had} was assigned by EC2")), "{report:#?}");
    assert_eq!(world.counted(), (5, 1), "{:?}", world.ec2.proxy.actions());
    assert_eq!(world.revert::<AwsRemovePublicIp>(&auto).await.status, Status::Reverted);
    let has = text(&world.ec2.state(&auto)["instance"], "PublicIpAddress").to_owned();
    assert!(!has.is_empty() && has != had, "{had} {has}");
    let bare = world.plant(&json!({}));
    let report = world.run::<AwsRemovePublicIp>(Mode::Apply, &bare, Value::Null).await;
    assert_eq!((report.status, world.counted().1), (Status::Already, 0), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_released_from_everything_that_sends_it_traffic() {
    let world = World::new();
    let target = world.plant(&json!({"group": {"min": 1, "max": 4, "desired": 2}}));
    world.ec2.balance(&target);
    let (before, served) = (world.ec2.state(&target), world.ec2.served(&target));
    assert_eq!(served, ["address:80", "hand:8080", "old", "own:80"]);
    let report = world.apply::<AwsReleaseInstance>(&target, Value::Null).await;
    assert!(remaining(&report).contains("starts no replacement"), "{report:#?}");
    // Nine to plan (four target groups are asked), and each place before and after it is written.
    assert_eq!(world.counted(), (9 + 4 * 2, 4), "{:?}", world.ec2.proxy.actions());
    assert_eq!(world.ec2.served(&target), Vec::<String>::new());
    let state = world.ec2.state(&target);
    assert_eq!(state["scaling"][0]["LifecycleState"], "Standby", "{state:#}");
    assert_eq!(state["sizes"][0]["DesiredCapacity"], 1);
    let again = world.run::<AwsReleaseInstance>(Mode::Apply, &target, Value::Null).await;
    assert_eq!((again.status, world.counted().1), (Status::Already, 0), "{again:#?}");
    let back = world.revert::<AwsReleaseInstance>(&target).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!((world.ec2.state(&target), world.ec2.served(&target)), (before, served));

    // Without a group there are still load balancers.
    let single = world.plant(&json!({}));
    world.ec2.balance(&single);
    let served = world.ec2.served(&single);
    world.apply::<AwsReleaseInstance>(&single, Value::Null).await;
    assert_eq!(world.ec2.served(&single), Vec::<String>::new());
    world.revert::<AwsReleaseInstance>(&single).await;
    assert_eq!(world.ec2.served(&single), served);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sizes_of_a_group_are_minded_and_never_raised() {
    let world = World::new();
    // At its minimum: no decrement, so a replacement starts; at its maximum: undo finds no room, and says so before.
    let full = world.plant(&json!({"group": {"min": 2, "max": 2, "desired": 2}}));
    let planned = world.run::<AwsReleaseInstance>(Mode::Plan, &full, Value::Null).await;
    assert!(remaining(&planned).contains("undo fails at its maximum of 2"), "{planned:#?}");
    world.apply::<AwsReleaseInstance>(&full, Value::Null).await;
    let state = world.ec2.state(&full);
    assert_eq!(state["scaling"][0]["LifecycleState"], "Standby");
    assert_eq!(state["sizes"][0]["DesiredCapacity"], 2, "another one serves in its place");
    let back = world.revert::<AwsReleaseInstance>(&full).await;
    assert_eq!((back.status, back.error), (Status::Failed, Some(Kind::Unsupported)), "{back:#?}");
    assert!(back.reason.is_some_and(|reason| reason.contains("max-size=2")));
    assert_eq!(world.ec2.state(&full)["sizes"][0]["MaxSize"], 2);

    // Detached, and attached again.
    let target = world.plant(&json!({"group": {"min": 1, "max": 3, "desired": 2}}));
    let before = world.ec2.state(&target);
    world.apply::<AwsReleaseInstance>(&target, json!({"how": "detach"})).await;
    assert_eq!(world.ec2.state(&target)["scaling"], json!([]));
    let back = world.revert::<AwsReleaseInstance>(&target).await;
    assert_eq!(back.status, Status::Reverted, "{back:#?}");
    assert_eq!(world.ec2.state(&target)["scaling"], before["scaling"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_ends_what_stands_by_makes_it_leave() {
    let world = World::new();
    let target = world.plant(&json!({"group": {"min": 1, "max": 3, "desired": 2}}));
    world.ec2.proxy.rewrite(|call| {
        if call.action.as_deref() != Some("DescribeInstanceRefreshes") {
            return None;
        }
        let mut answer = ec2_error(200, "", "");
        *answer.body_mut() =
            "<DescribeInstanceRefreshesResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\">\
            <DescribeInstanceRefreshesResult><InstanceRefreshes><member><Status>InProgress</Status><Preferences>\
            <StandbyInstances>Terminate</StandbyInstances></Preferences></member></InstanceRefreshes>\
            </DescribeInstanceRefreshesResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\
            </DescribeInstanceRefreshesResponse>"
                .into();
        answer.headers_mut().remove("content-length");
        Some(answer)
    });
    let report = world.apply::<AwsReleaseInstance>(&target, Value::Null).await;
    assert!(remaining(&report).contains("detached instead"), "{report:#?}");
    assert_eq!(world.ec2.state(&target)["scaling"], json!([]));
    assert!(id(&target).starts_with("i-"));
}
