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

/// Is it of the documented form, with a purpose and a resource that are documented? GuardDuty adds families every
/// few weeks, so those are not listed.
pub(crate) fn is_known(kind: &str) -> bool {
    let Some((purpose, rest)) = kind.split_once(':') else { return false };
    let Some((resource, family)) = rest.split_once('/') else { return false };
    PURPOSES.contains(&purpose)
        && RESOURCES.contains(&resource)
        && !family.is_empty()
        && family.bytes().all(|c| c.is_ascii_alphanumeric() || b".!&-_/".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn known_types_are_of_the_documented_form() {
        for known in [
            "CryptoCurrency:EC2/BitcoinTool.B!DNS",
            "Backdoor:EC2/C&CActivity.B!DNS",
            "PrivilegeEscalation:Kubernetes/PrivilegedContainer",
            "AttackSequence:EKS/CompromisedCluster",
            "Execution:Container/MaliciousFile",
        ] {
            assert!(is_known(known), "{known}");
        }
        for unknown in
            ["", "CryptoCurrency", "cryptocurrency:ec2/bitcointool.b!dns", "Backdoor:EC2/", "Backdoor:EC3/X", "A:B/C"]
        {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
