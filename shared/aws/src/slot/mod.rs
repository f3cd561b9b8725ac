//! The places that can be written: one module and one type of slot for each subject, so that a program links the
//! calls of its own responder and no others.
//!
//! | slot | subject |
//! |---|---|
//! | [`SnapshotSlot`] | snapshots of volumes, and their locks |
//! | [`IsolationSlot`] | quarantine groups, and the groups of interfaces |
//! | [`ProtectionSlot`] | what keeps an instance and its volumes from being ended |
//! | [`AddressSlot`] | public addresses of interfaces |
//! | [`TagSlot`] | tags of an instance |
//! | [`ProfileSlot`] | the instance profile, and the metadata service that hands its credentials out |
//! | [`TerminationSlot`] | the end of an instance |

mod address;
mod interface;
mod isolation;
mod lock;
mod manner;
mod profile;
mod protection;
mod quarantine;
mod snapshot;
mod snapshots;
mod tag;
mod termination;

use std::time::Duration;

use stanch_core::Mark;

pub use self::{
    address::{AddressSlot, AddressState, AutoAssign, ElasticIp, Ipv6Address, NoAddress, Place},
    interface::InterfaceGroups,
    isolation::{IsolationSlot, IsolationState, Presence},
    lock::SnapshotLock,
    manner::Manner,
    profile::{ProfileSlot, ProfileState, ProfileToken, name_of},
    protection::{DeleteOnTermination, InstanceAttribute, Protection, ProtectionSlot, ProtectionState},
    quarantine::{QuarantineGroup, Rules},
    snapshot::{SnapshotSlot, SnapshotState, SnapshotToken},
    snapshots::{MAX_EXCLUDED, SnapshotSet},
    tag::{InstanceTag, TagSlot, TagState},
    termination::{TerminationSlot, TerminationState},
};

pub(crate) use self::quarantine::rules_of;

/// The tag that finds what a record made.
pub(crate) const TAG_RECORD: &str = "stanch:record";
/// The tag that names the incident.
pub(crate) const TAG_INCIDENT: &str = "stanch:incident";
/// The tag that names who asked.
pub(crate) const TAG_BY: &str = "stanch:by";

/// The longest tag value (EC2 User Guide: "Tag restrictions").
const TAG_VALUE: usize = 256;

/// How long EC2 may not show what it has accepted (EC2 Developer Guide: "Eventual consistency").
const LAG: Duration = Duration::from_secs(30);

/// What we leave on everything that we make.
pub(crate) fn tags(mark: &Mark) -> [(&'static str, String); 3] {
    [(TAG_INCIDENT, mark.incident.to_string()), (TAG_RECORD, mark.record.to_string()), (TAG_BY, tag_value(&mark.by))]
}

/// Free text as a tag value: the characters that every service takes, not in AWS's own namespace, not too long.
pub fn tag_value(text: &str) -> String {
    let fits = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    let text: String = text.chars().map(|c| if fits(c) { c } else { '_' }).take(TAG_VALUE).collect();
    // The prefix `aws:` is AWS's, in any case, in keys and in values.
    match text.get(..4) {
        Some(prefix) if prefix.eq_ignore_ascii_case("aws:") => text.replacen(':', "_", 1),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_fits_into_a_tag() {
        assert_eq!(tag_value("ann@example.com"), "ann@example.com");
        assert_eq!(tag_value("aws:sts::1"), "aws_sts::1");
        assert_eq!(tag_value("a\"b\n<c>"), "a_b__c_");
        assert_eq!(tag_value(&"x".repeat(300)).len(), 256);
    }
}
