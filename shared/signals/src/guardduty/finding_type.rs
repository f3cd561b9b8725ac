//! `ThreatPurpose:Resource/Family…` ("GuardDuty finding format", "GuardDuty finding types").

/// As the finding types spell them.
const PURPOSES: [&str; 21] = [
    "AttackSequence",
    "Backdoor",
    "Behavior",
    "CredentialAccess",
    "CryptoCurrency",
    "DefenseEvasion",
    "Discovery",
    "Execution",
    "Exfiltration",
    "Impact",
    "InitialAccess",
    "Object",
    "PenTest",
    "Persistence",
    "Policy",
    "PrivilegeEscalation",
    "Recon",
    "Stealth",
    "Trojan",
    "UnauthorizedAccess",
    "LateralMovement",
];

const RESOURCES: [&str; 11] =
    ["Container", "EC2", "ECS", "EKS", "IAM", "IAMUser", "Kubernetes", "Lambda", "RDS", "Runtime", "S3"];

/// The type of a finding, and the feature that found it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind<'a> {
    pub(crate) name: &'a str,
    /// `service.featureName`; older findings leave it out.
    pub(crate) feature: Option<&'a str>,
}

impl<'a> Kind<'a> {
    fn parts(self) -> Option<(&'a str, &'a str, &'a str)> {
        let (purpose, rest) = self.name.split_once(':')?;
        let (resource, family) = rest.split_once('/')?;
        Some((purpose, resource, family))
    }

    /// Is it of the documented form, with a purpose and a resource that are documented? GuardDuty adds families every
    /// few weeks, so those are not listed.
    pub(crate) fn is_known(self) -> bool {
        self.parts().is_some_and(|(purpose, resource, family)| {
            PURPOSES.contains(&purpose)
                && RESOURCES.contains(&resource)
                && !family.is_empty()
                && family.bytes().all(|c| c.is_ascii_alphanumeric() || b".!&-_/".contains(&c))
        })
    }

    /// Is it about what ran (Runtime Monitoring) or lay in (Malware Protection) a container?
    pub(crate) fn ran(self) -> bool {
        let of_type = self.parts().is_some_and(|(_, resource, family)| {
            resource == "Runtime" || family.starts_with("MaliciousFile") || family.starts_with("SuspiciousFile")
        });
        of_type || self.feature == Some("RuntimeMonitoring")
    }

    /// Is it about the credentials of an instance's role, used elsewhere?
    pub(crate) fn is_credential_theft(self) -> bool {
        self.parts().is_some_and(|(purpose, resource, family)| {
            purpose == "UnauthorizedAccess"
                && resource == "IAMUser"
                && family.starts_with("InstanceCredentialExfiltration")
        })
    }

    /// Is it about an identity, or calls to the AWS API? IAM is global, and its findings may name two regions.
    pub(crate) fn is_global(self) -> bool {
        self.parts().is_some_and(|(_, resource, _)| matches!(resource, "IAMUser" | "IAM"))
    }

    /// Is it several signals in one?
    pub(crate) fn is_sequence(self) -> bool {
        self.parts().is_some_and(|(purpose, ..)| purpose == "AttackSequence")
    }

    /// The tactic of MITRE ATT&CK, for those purposes that AWS says are one ("GuardDuty finding format", threat
    /// purposes).
    pub(crate) fn tactic(self) -> Option<&'static str> {
        const TACTICS: [(&str, &str); 9] = [
            ("CredentialAccess", "Credential Access"),
            ("DefenseEvasion", "Defense Evasion"),
            ("Discovery", "Discovery"),
            ("Execution", "Execution"),
            ("Exfiltration", "Exfiltration"),
            ("Impact", "Impact"),
            ("InitialAccess", "Initial Access"),
            ("Persistence", "Persistence"),
            ("PrivilegeEscalation", "Privilege Escalation"),
        ];
        let (purpose, ..) = self.parts()?;
        TACTICS.iter().find(|(name, _)| *name == purpose).map(|(_, tactic)| *tactic)
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    fn kind(name: &str) -> Kind<'_> {
        Kind { name, feature: None }
    }

    #[test]
    fn known_types_are_of_the_documented_form() {
        for known in [
            "CryptoCurrency:EC2/BitcoinTool.B!DNS",
            "Backdoor:EC2/C&CActivity.B!DNS",
            "PrivilegeEscalation:Kubernetes/PrivilegedContainer",
            "AttackSequence:EKS/CompromisedCluster",
            "Execution:Container/MaliciousFile",
        ] {
            assert!(kind(known).is_known(), "{known}");
        }
        for unknown in
            ["", "CryptoCurrency", "cryptocurrency:ec2/bitcointool.b!dns", "Backdoor:EC2/", "Backdoor:EC3/X", "A:B/C"]
        {
            assert!(!kind(unknown).is_known(), "{unknown}");
        }
    }

    #[test]
    fn a_tactic_is_named_where_aws_names_one() {
        for (name, tactic) in [
            ("PrivilegeEscalation:Kubernetes/PrivilegedContainer", Some("Privilege Escalation")),
            ("Impact:EC2/WinRMBruteForce", Some("Impact")),
            ("CryptoCurrency:EC2/BitcoinTool.B!DNS", None),
            ("UnauthorizedAccess:EC2/SSHBruteForce", None),
            ("Impact", None),
        ] {
            assert_eq!(kind(name).tactic(), tactic, "{name}");
        }
    }

    #[test]
    fn what_ran_is_told_from_what_was_asked_for() {
        assert!(kind("Execution:Runtime/NewBinaryExecuted").ran());
        assert!(kind("Execution:Container/MaliciousFile").ran());
        assert!(kind("Execution:Kubernetes/SuspiciousFile").ran());
        assert!(Kind { name: "Novel:EKS/Thing", feature: Some("RuntimeMonitoring") }.ran());
        assert!(!kind("PrivilegeEscalation:Kubernetes/PrivilegedContainer").ran());
    }
}
