//! Validated names. A value of these types can go into an API call, a URL path or a label; a string cannot.
//!
//! Event fields come from an attacker's machine, so every name is checked over its whole length against the rule
//! that its provider documents, and an error never repeats the value.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

macro_rules! names {
    ($($(#[$doc:meta])* $Name:ident = $rule:literal, $check:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $Name(Box<str>);

        impl $Name {
            /// The rule, as an error states it.
            pub const RULE: &'static str = $rule;

            /// The checked text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $Name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(Error::invalid("", $rule)) }
            }
        }

        impl TryFrom<String> for $Name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$Name> for String {
            fn from(name: $Name) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names! {
    /// A 12-digit AWS account id (AWS Account Management: "View AWS account identifiers").
    AccountId = "must be 12 digits", |s| s.len() == 12 && digits(s);

    /// An AWS region of a known form, e.g. `eu-central-1`, `us-gov-west-1`. It becomes part of a host name.
    Region = "must be an AWS region such as eu-central-1", aws_region;

    /// An EC2 instance id: `i-` and 8 to 17 hexadecimal digits.
    InstanceId = "must match ^i-[0-9a-f]{8,17}$", |s| ec2_id(s, "i-");

    /// An EBS volume id.
    VolumeId = "must match ^vol-[0-9a-f]{8,17}$", |s| ec2_id(s, "vol-");

    /// A network interface id.
    InterfaceId = "must match ^eni-[0-9a-f]{8,17}$", |s| ec2_id(s, "eni-");

    /// A security group id.
    SecurityGroupId = "must match ^sg-[0-9a-f]{8,17}$", |s| ec2_id(s, "sg-");

    /// A VPC id.
    VpcId = "must match ^vpc-[0-9a-f]{8,17}$", |s| ec2_id(s, "vpc-");

    /// The allocation id of an Elastic IP address.
    AllocationId = "must match ^eipalloc-[0-9a-f]{8,17}$", |s| ec2_id(s, "eipalloc-");

    /// An IAM user or role name (IAM: "IAM and AWS STS quotas, name requirements").
    IamName = "must be 1 to 64 of letters, digits and +=,.@_-",
        |s| within(s, 1, 64) && s.bytes().all(|c| c.is_ascii_alphanumeric() || b"+=,.@_-".contains(&c));

    /// An IAM access key id: `AKIA…` or `ASIA…`.
    AccessKeyId = "must be 16 to 128 capital letters and digits",
        |s| within(s, 16, 128) && s.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());

    /// An IAM unique id such as `AROA…` or `AIDA…`.
    IamUniqueId = "must be 16 to 128 capital letters and digits",
        |s| within(s, 16, 128) && s.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());

    /// An EKS cluster name (Amazon EKS: "`CreateCluster`").
    EksName = "must be 1 to 100 of letters, digits, - and _, starting with a letter or digit",
        |s| within(s, 1, 100) && starts_alphanumeric(s)
            && s.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');

    /// A Google Cloud project id, legacy domain-scoped ones included (Resource Manager: "Creating projects").
    ProjectId = "must be a project id: 6 to 30 of lower-case letters, digits and hyphens", gcp_project;

    /// A Google Cloud zone, e.g. `europe-west1-b`.
    Zone = "must be a zone such as europe-west1-b", |s| gcp_zone(s);

    /// A Google Cloud region or zone: where a GKE cluster lives.
    Location = "must be a region or zone such as europe-west1 or europe-west1-b", |s| gcp_region(s) || gcp_zone(s);

    /// A Compute Engine resource name (RFC 1035, at most 63).
    GceName = "must be an RFC 1035 label: lower-case letters, digits and hyphens, starting with a letter, at most 63",
        rfc1035;

    /// A numeric Compute Engine id. A managed group makes a new instance under the old name, never under the old id.
    GceId = "must be a positive 64-bit number",
        |s| digits(s) && !s.starts_with('0') && s.parse::<u64>().is_ok();

    /// The e-mail address of a Google service account.
    ServiceAccountEmail = "must be the e-mail address of a service account", |s| {
        s.len() <= 254 && s.split_once('@').is_some_and(|(user, domain)| {
            within(user, 1, 64) && user.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'.')
                && domain.ends_with(".gserviceaccount.com") && rfc1123_subdomain(domain)
        })
    };

    /// A GKE cluster name.
    GkeName = "must be a GKE cluster name: lower-case letters, digits and hyphens, at most 40",
        |s| s.len() <= 40 && rfc1035(s);

    /// A kubeconfig context. It is only compared and looked up in the kubeconfig, never part of a URL.
    ContextName = "must be 1 to 253 printable characters without spaces",
        |s| within(s, 1, 253) && s.bytes().all(|c| c.is_ascii_graphic());

    /// A Kubernetes object name: RFC 1123 subdomain (Kubernetes: "Object Names and IDs").
    KubeName = "must be an RFC 1123 subdomain: lower-case letters, digits, - and ., at most 253", rfc1123_subdomain;

    /// The name of a role or a binding: any path segment (Kubernetes: "Object Names and IDs, Path Segment Names"),
    /// `system:node` among them. It is escaped where it becomes part of a URL.
    PathName = "must be 1 to 1024 characters without control characters, / and %, and not . or ..",
        |s| within(s, 1, 1024) && s != "." && s != ".." && !s.chars().any(|c| c.is_control() || c == '/' || c == '%');

    /// A Kubernetes namespace: RFC 1123 label.
    Namespace = "must be an RFC 1123 label: lower-case letters, digits and -, at most 63", rfc1123_label;

    /// The UID of a Kubernetes object.
    KubeUid = "must be 1 to 128 of letters, digits, - and .",
        |s| within(s, 1, 128) && s.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'.');

    /// A kind of Kubernetes workload, e.g. `Deployment`, `deployments`.
    WorkloadKind = "must be 1 to 63 letters", |s| within(s, 1, 63) && s.bytes().all(|c| c.is_ascii_alphabetic());

    /// The name of a Kubernetes user or group: whatever an identity provider calls it.
    SubjectName = "must be 1 to 253 printable characters without spaces",
        |s| within(s, 1, 253) && s.bytes().all(|c| c.is_ascii_graphic());

    /// A container image reference.
    ImageRef = "must be an image reference: at most 512 of letters, digits and ._-/:@",
        |s| within(s, 1, 512) && starts_alphanumeric(s)
            && s.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-/:@".contains(&c));

    /// One incident: everything that is done about it carries this id.
    IncidentId = "must be 1 to 128 of letters, digits and ._:/-, starting with a letter or digit",
        |s| within(s, 1, 128) && starts_alphanumeric(s)
            && s.bytes().all(|c| c.is_ascii_alphanumeric() || b"._:/-".contains(&c));

    /// One record of the ledger; also the mark on what it made. 24 hexadecimal digits.
    RecordId = "must be 24 hexadecimal digits",
        |s| s.len() == 24 && s.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
}

fn within(s: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&s.len())
}

fn digits(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|c| c.is_ascii_digit())
}

fn starts_alphanumeric(s: &str) -> bool {
    s.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
}

fn lower_or_digit(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn ec2_id(s: &str, prefix: &str) -> bool {
    s.strip_prefix(prefix)
        .is_some_and(|hex| within(hex, 8, 17) && hex.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)))
}

/// `<geography>[-gov|-iso…]-<direction>-<n>`; the geographies are those of AWS's published region table, so that a
/// new region of a known geography works and a host name does not.
fn aws_region(s: &str) -> bool {
    const GEOGRAPHIES: [&str; 11] = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx", "cn", "eusc"];
    const PARTITIONS: [&str; 6] = ["gov", "iso", "isob", "isoe", "isof", "de"];
    const DIRECTIONS: [&str; 9] =
        ["north", "south", "east", "west", "central", "northeast", "northwest", "southeast", "southwest"];
    let mut parts = s.split('-');
    let (Some(geography), Some(mut part)) = (parts.next(), parts.next()) else { return false };
    if PARTITIONS.contains(&part) {
        let Some(next) = parts.next() else { return false };
        part = next;
    }
    let Some(number) = parts.next() else { return false };
    GEOGRAPHIES.contains(&geography)
        && DIRECTIONS.contains(&part)
        && within(number, 1, 2)
        && digits(number)
        && parts.next().is_none()
}

fn gcp_project(s: &str) -> bool {
    let id = match s.split_once(':') {
        Some((domain, id)) if rfc1123_subdomain(domain) && domain.contains('.') => id,
        Some(_) => return false,
        None => s,
    };
    within(id, 6, 30) && rfc1035(id)
}

fn gcp_region(s: &str) -> bool {
    s.split_once('-').is_some_and(|(area, place)| {
        within(area, 2, 20)
            && area.bytes().all(|c| c.is_ascii_lowercase())
            && within(place, 2, 20)
            && place.bytes().all(lower_or_digit)
            && place.bytes().last().is_some_and(|c| c.is_ascii_digit())
    })
}

fn gcp_zone(s: &str) -> bool {
    s.rsplit_once('-').is_some_and(|(region, zone)| {
        gcp_region(region) && zone.len() == 1 && zone.bytes().all(|c| c.is_ascii_lowercase())
    })
}

fn rfc1035(s: &str) -> bool {
    s.bytes().next().is_some_and(|c| c.is_ascii_lowercase()) && rfc1123_label(s)
}

fn rfc1123_label(s: &str) -> bool {
    within(s, 1, 63)
        && s.bytes().all(|c| lower_or_digit(c) || c == b'-')
        && s.bytes().next().is_some_and(lower_or_digit)
        && s.bytes().last().is_some_and(lower_or_digit)
}

fn rfc1123_subdomain(s: &str) -> bool {
    within(s, 1, 253)
        && s.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|c| lower_or_digit(c) || c == b'-')
                && label.bytes().next().is_some_and(lower_or_digit)
                && label.bytes().last().is_some_and(lower_or_digit)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts<N: FromStr>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<N>().is_ok(), "{text:?} is refused");
        }
        for text in bad {
            assert!(text.parse::<N>().is_err(), "{text:?} is accepted");
        }
    }

    #[test]
    fn regions_have_a_known_form() {
        accepts::<Region>(
            &["eu-central-1", "us-gov-west-1", "ap-southeast-5", "us-isob-east-1", "mx-central-1", "eusc-de-east-1"],
            &["", "eu", "eu-central", "eu-central-1.evil.example", "eu-central-1@evil", "us-east-1-2", "US-EAST-1"],
        );
    }

    #[test]
    fn instance_ids_are_matched_whole() {
        accepts::<InstanceId>(
            &["i-99999999", "i-02468ace13579bdf0"],
            &[
                "i-0246",
                "I-02468ACE13579BDF0",
                " i-02468ace13579bdf0",
                "i-02468ace13579bdf0\n",
                "i-0246\u{ff18}ace13579bdf0",
            ],
        );
    }

    #[test]
    fn google_names_follow_their_rules() {
        accepts::<ProjectId>(&["my-project", "example.com:my-project"], &["p", "My-project", "../other", "a:b"]);
        accepts::<Zone>(&["europe-west1-b", "us-central1-a"], &["europe-west1", "us-central1-a/..", "zone"]);
        accepts::<GceId>(&["528", "18446744073709551615"], &["0", "-1", "18446744073709551616", "1e3"]);
    }

    #[test]
    fn kubernetes_names_follow_rfc_1123() {
        accepts::<KubeName>(
            &["web-1", "ip-10-0-0-1.eu-central-1.compute.internal", "0"],
            &["", ".", "..", "a..b", "WEB", "web#frag", "web\nX: 1", "w\u{435}b-1", "-a", "a-"],
        );
        accepts::<Namespace>(&["default"], &["a.b", "../kube-system", "*", ""]);
    }

    #[test]
    fn an_error_does_not_repeat_the_value() {
        let error = "$(reboot)".parse::<KubeName>().expect_err("not a name");
        assert!(!error.to_string().contains("reboot"));
    }
}
