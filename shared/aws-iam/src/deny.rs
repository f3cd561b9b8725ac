//! The documents that we write. Each statement's Sid names the record, for a policy has no tags.
//!
//! Sources: IAM User Guide "Disabling permissions for temporary security credentials" (`aws:TokenIssueTime`,
//! `aws:userid`); "AWS global condition context keys"; Amazon EKS User Guide "Grant Pods access to AWS resources based
//! on tags" (`aws:PrincipalTag/kubernetes-namespace`).

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use stanch_core::{
    Mark,
    names::{InstanceId, KubeName, Namespace},
};

use crate::policy::Policy;

const ISSUED: &str = "aws:TokenIssueTime";

/// The Sid of our statements: letters and digits are all that it may have.
pub fn sid(mark: &Mark) -> String {
    format!("Stanch{}", mark.record)
}

/// Denies everything to the sessions of one instance, whose name EC2 sets to the instance's id.
pub fn instance(instance: &InstanceId, mark: &Mark) -> Policy {
    deny(mark, Some(json!({"StringLike": {"aws:userid": format!("*:{instance}")}})))
}

/// Denies everything to sessions that were issued before then.
pub fn older(than: Timestamp, mark: &Mark) -> Policy {
    deny(mark, Some(json!({"DateLessThan": {ISSUED: time(than)}})))
}

/// Denies everything to everyone who has the principal's permissions.
pub fn all(mark: &Mark) -> Policy {
    deny(mark, None)
}

/// Denies everything to the pods of one service account that come by EKS Pod Identity, whose sessions carry both names
/// as tags.
pub fn service_account(namespace: &Namespace, name: &KubeName, mark: &Mark) -> Policy {
    let tags = json!({
        "aws:PrincipalTag/kubernetes-namespace": namespace.as_str(),
        "aws:PrincipalTag/kubernetes-service-account": name.as_str(),
    });
    deny(mark, Some(json!({"StringEquals": tags})))
}

/// The same document with another bound, if it has one.
pub(crate) fn bound_to(policy: &Policy, now: Timestamp) -> Option<Policy> {
    let mut document = policy.value()?;
    let bound = document.pointer_mut("/Statement/0/Condition/DateLessThan")?.as_object_mut()?.get_mut(ISSUED)?;
    *bound = time(now).into();
    Some(Policy::from(&document))
}

/// Until when sessions are denied, if that is what a document does.
pub fn bound_of(policy: &Policy) -> Option<Timestamp> {
    policy.value()?.pointer("/Statement/0/Condition/DateLessThan")?.get(ISSUED)?.as_str()?.parse().ok()
}

fn deny(mark: &Mark, condition: Option<Value>) -> Policy {
    let mut statement = json!({"Sid": sid(mark), "Effect": "Deny", "Action": "*", "Resource": "*"});
    if let (Some(statement), Some(condition)) = (statement.as_object_mut(), condition) {
        statement.insert("Condition".to_owned(), condition);
    }
    Policy::from(&json!({"Version": "2012-10-17", "Statement": [statement]}))
}

/// The next whole second: that is what token times are in, and one that was issued within this second is older.
fn time(at: Timestamp) -> String {
    let whole = if at.subsec_nanosecond() == 0 { at.as_second() } else { at.as_second() + 1 };
    let at = Timestamp::from_second(whole).unwrap_or(at).to_zoned(TimeZone::UTC);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark {
            record: "0123456789abcdef01234567".parse().expect("a record id"),
            incident: "case-1".parse().expect("an incident"),
            opened: Timestamp::UNIX_EPOCH,
            by: "ann".to_owned(),
        }
    }

    #[test]
    fn a_bound_is_the_next_whole_second_and_is_moved_only_where_there_is_one() {
        let at: Timestamp = "2026-11-20T09:41:00.25Z".parse().expect("a time");
        let older = older(at, &mark());
        assert_eq!(
            older.text(),
            r#"{"Statement":[{"Action":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-11-20T09:41:01Z"}},"Effect":"Deny","Resource":"*","Sid":"Stanch0123456789abcdef01234567"}],"Version":"2012-10-17"}"#
        );
        let later: Timestamp = "2026-11-20T09:42:00Z".parse().expect("a time");
        let moved = bound_to(&older, later).expect("it has a bound");
        assert_eq!(bound_of(&moved), Some(later));
        assert_eq!(bound_to(&all(&mark()), later), None);
        let instance = instance(&"i-0123456789abcdef0".parse().expect("an id"), &mark());
        assert!(instance.text().contains(r#""StringLike":{"aws:userid":"*:i-0123456789abcdef0"}"#), "{instance:?}");
        assert_eq!(bound_to(&instance, later), None);
    }
}
