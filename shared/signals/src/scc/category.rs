//! The categories of findings ("Security Command Center: threat findings index", "Security Health Analytics findings").
//! A category that is none of these decodes all the same, and says so.

/// What a threat finding's category begins with, up to its colon.
const THREATS: [&str; 24] = [
    "account",
    "brute force",
    "c2",
    "cloud ids",
    "collection",
    "command and control",
    "credential access",
    "defense evasion",
    "discovery",
    "evasion",
    "execution",
    "exfiltration",
    "impact",
    "impair defenses",
    "inhibit system recovery",
    "initial access",
    "lateral movement",
    "log4j compromise",
    "malware",
    "persistence",
    "privilege escalation",
    "reconnaissance",
    "resource development",
    "toxic combination",
];

/// Threat findings that have no colon.
const ALONE: [&str; 16] = [
    "abuse of leaked credentials",
    "account has leaked credentials",
    "active scan",
    "added binary executed",
    "added library loaded",
    "allowed traffic spike",
    "application ddos attack attempt",
    "increasing deny ratio",
    "leaked credentials",
    "malicious script executed",
    "malicious url observed",
    "outgoing dos",
    "reverse shell",
    "silently tampered binary executed",
    "unexpected child shell",
    "unexpected kernel code modification",
];

/// Is the category documented? Misconfigurations and vulnerabilities are in capitals: `PUBLIC_IP_ADDRESS`.
pub(super) fn is_known(category: &str) -> bool {
    let is_code = category.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
    let lower = category.to_ascii_lowercase();
    let is_threat = lower.split_once(':').is_some_and(|(first, _)| THREATS.contains(&first));
    is_code || is_threat || ALONE.contains(&lower.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_known_by_its_tactic_or_by_its_capitals() {
        for known in [
            "C2: Bad IP",
            "Execution: Cryptocurrency Mining Combined Detection",
            "PUBLIC_IP_ADDRESS",
            "Reverse Shell",
            "Malware: Cryptomining Bad IP",
        ] {
            assert!(is_known(known), "{known}");
        }
        for unknown in ["Unknown: Brand New", "execution", "Something else", "Execution Cryptocurrency"] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
