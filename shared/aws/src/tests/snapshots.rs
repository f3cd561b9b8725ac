//! One call takes the set; state is read back from moto, not from us.

use jiff::SignedDuration;
use stanch_core::Slot;

use super::bed::{Bed, TAKEN, mark, now, take};
use crate::{SnapshotSlot, SnapshotState};

#[tokio::test]
async fn one_call_takes_the_whole_set_with_its_tags() {
    let bed = Bed::new(3, &[("team", "web")]).await;
    let (slot, mark) = (SnapshotSlot::Snapshots(bed.set()), now());
    let before = bed.moto.describe_snapshots().expect("lists").len();
    let seen = slot.look(&bed.api, &mark).await.expect("looks");
    assert_eq!(seen.state, SnapshotState::Snapshots { taken: false });
    slot.carry_out(&TAKEN, &mark, &seen, &bed.api).await.expect("writes");
    let seen = slot.look(&bed.api, &mark).await.expect("looks");
    assert_eq!((seen.state, seen.ids.len()), (TAKEN, 3));
    assert_eq!(bed.proxy.actions(), ["DescribeSnapshots", "CreateSnapshots", "DescribeSnapshots"]);

    let all = bed.moto.describe_snapshots().expect("lists");
    assert_eq!(all.len(), before + 3);
    for id in &seen.ids {
        let made = all.iter().find(|made| made["SnapshotId"] == **id).expect("it exists");
        assert!(bed.seeded.volumes.iter().any(|volume| made["VolumeId"] == **volume));
        let tag = |key: &str| {
            let tags = made["Tags"].as_array().expect("tags");
            tags.iter().find(|tag| tag["Key"] == key).map(|tag| tag["Value"].as_str().expect("text").to_owned())
        };
        assert_eq!(tag("stanch:record").as_deref(), Some("0123456789abcdef01234567"));
        assert_eq!(tag("stanch:incident").as_deref(), Some("guardduty/7ac4e1f0"));
        assert_eq!(tag("stanch:by").as_deref(), Some("arn:aws:iam::123456789012:user/o_hara"));
        assert!(made["Description"].as_str().expect("text").contains("guardduty/7ac4e1f0"));
    }
    let calls = bed.proxy.calls();
    let sent = |name: &str| calls[1].form(name);
    assert_eq!(sent("CopyTagsFromSource").as_deref(), Some("volume"));
    assert_eq!(sent("TagSpecification.1.ResourceType").as_deref(), Some("snapshot"));
    assert_eq!(calls[0].form("Owner.1").as_deref(), Some("self"));
    assert_eq!(calls[0].form("Filter.1.Name").as_deref(), Some("tag:stanch:record"));
}

#[tokio::test]
async fn what_is_left_out_is_said_in_the_request() {
    let bed = Bed::new(3, &[]).await;
    let mut set = bed.set();
    let data = set.volumes.pop().expect("a data volume");
    set.exclude = vec![data.clone()];
    set.exclude_boot = true;
    set.volumes.remove(0);
    take(&SnapshotSlot::Snapshots(set), &TAKEN, &now(), &bed.api).await.expect("writes");
    let calls = bed.proxy.calls();
    assert_eq!(calls[1].form("InstanceSpecification.ExcludeBootVolume").as_deref(), Some("true"));
    assert_eq!(calls[1].form("InstanceSpecification.ExcludeDataVolumeId.1").as_deref(), Some(data.as_str()));
}

#[tokio::test]
async fn a_set_with_a_gap_is_taken_again_whole() {
    let bed = Bed::new(2, &[]).await;
    let (slot, mark) = (SnapshotSlot::Snapshots(bed.set()), now());
    take(&slot, &TAKEN, &mark, &bed.api).await.expect("writes");
    let lost = slot.look(&bed.api, &mark).await.expect("looks").ids.remove(0);
    bed.script("ec2.delete_snapshot(SnapshotId=want)", &lost.into());
    assert_eq!(slot.look(&bed.api, &mark).await.expect("looks").state, SnapshotState::Snapshots { taken: false });
    // A new set is newer by a second, which is what EC2's times can tell.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    take(&slot, &TAKEN, &mark, &bed.api).await.expect("writes");
    let seen = slot.look(&bed.api, &mark).await.expect("looks");
    assert_eq!((seen.state, seen.ids.len()), (TAKEN, 2));
}

#[tokio::test]
async fn planted_tags_are_no_evidence() {
    let bed = Bed::new(1, &[]).await;
    let mark = now();
    let plant = "tags = [{'ResourceType': 'snapshot', 'Tags': [{'Key': 'stanch:record', 'Value': want['record']}]}]\n\
        other = ec2.create_volume(AvailabilityZone=ec2.meta.region_name + 'a', Size=1)['VolumeId']\n\
        ec2.create_snapshot(VolumeId=other, TagSpecifications=tags)\n\
        ec2.create_snapshot(VolumeId=want['volume'], TagSpecifications=tags)\n";
    let input = serde_json::json!({"record": mark.record.as_str(), "volume": bed.seeded.volumes[0]});
    bed.script(plant, &input);
    // Of the right volume, but from before the record: the record is opened ten minutes from now.
    let later = self::mark(SignedDuration::from_mins(-10));
    let set = bed.set();
    let evidence = bed.api.evidence(&later, &set.volumes).await.expect("looks");
    assert!(!evidence.covers(&set.volumes));
    let mut why: Vec<_> = evidence.discounted.iter().map(|it| it.why.as_str()).collect();
    why.sort_unstable();
    assert_eq!(why, ["it is of another volume", "it is older than the record"]);
}

#[test]
fn the_command_is_what_a_person_would_type() {
    let mark = now();
    let set = crate::SnapshotSet {
        region: "eu-central-1".parse().expect("a region"),
        account: "123456789012".parse().expect("an account"),
        instance: "i-0123456789abcdef0".parse().expect("an id"),
        volumes: vec!["vol-0000000000000000a".parse().expect("an id")],
        exclude_boot: true,
        exclude: vec!["vol-0000000000000000b".parse().expect("an id"), "vol-0000000000000000c".parse().expect("an id")],
    };
    let slot = SnapshotSlot::Snapshots(set.clone());
    assert_eq!(
        slot.command(&TAKEN, &mark),
        "aws ec2 create-snapshots --region eu-central-1 --instance-specification \
         InstanceId=i-0123456789abcdef0,ExcludeBootVolume=true,ExcludeDataVolumeIds=vol-0000000000000000b,\
         vol-0000000000000000c --copy-tags-from-source volume --description 'Evidence of i-0123456789abcdef0 for \
         incident guardduty/7ac4e1f0 (stanch 0123456789abcdef01234567)' --tag-specifications \
         '[{\"ResourceType\":\"snapshot\",\"Tags\":[{\"Key\":\"stanch:incident\",\"Value\":\"guardduty/7ac4e1f0\"},\
         {\"Key\":\"stanch:record\",\"Value\":\"0123456789abcdef01234567\"},{\"Key\":\"stanch:by\",\"Value\":\
         \"arn:aws:iam::123456789012:user/o_hara\"}]}]'"
    );
    assert_eq!(
        SnapshotSlot::Completion(set).command(&SnapshotState::Completion { completed: true }, &mark),
        "aws ec2 wait snapshot-completed --region eu-central-1 --owner-ids self --filters \
         Name=tag:stanch:record,Values=0123456789abcdef01234567"
    );
}

#[test]
fn a_slot_and_its_states_read_back() {
    let json = r#"{"slot":"snapshots","region":"eu-central-1","account":"123456789012","instance":"i-0123456789abcdef0","volumes":["vol-0000000000000000a"],"exclude_boot":false,"exclude":[]}"#;
    let slot: SnapshotSlot = serde_json::from_str(json).expect("reads");
    assert_eq!(serde_json::to_string(&slot).expect("writes"), json);
    for (state, json) in [
        (TAKEN, r#"{"taken":true}"#),
        (SnapshotState::Completion { completed: false }, r#"{"completed":false}"#),
        (SnapshotState::Lock { locked: true }, r#"{"locked":true}"#),
    ] {
        assert_eq!(serde_json::to_string(&state).expect("writes"), json);
        assert_eq!(serde_json::from_str::<SnapshotState>(json).expect("reads"), state);
    }
    assert!(slot.kept().is_some());
}
