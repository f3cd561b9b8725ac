//! What a check found, in either format.

use serde_json::{Value, json};
use stanch_core::Result;

use crate::testing::{alert, names};

const INSTANCE: &str = "arn:aws:ec2:eu-central-1:210987654321:instance/i-0a1b2c3d4e5f67890";

/// A warning counts: it is what failed as far as it could be checked, and AWS's own remediations act on it.
#[test]
fn a_check_accuses_nothing_that_passed_it_or_that_it_did_not_see() -> Result<()> {
    let asff = |compliance: Value| {
        json!({
            "SchemaVersion": "2018-10-08", "Id": "f-1", "GeneratorId": "security-control/EC2.9",
            "ProductArn": "arn:aws:securityhub:eu-central-1::product/aws/securityhub",
            "AwsAccountId": "210987654321", "Region": "eu-central-1", "Severity": {"Label": "HIGH"},
            "Resources": [{"Type": "AwsEc2Instance", "Id": INSTANCE}], "Compliance": compliance,
        })
    };
    let ocsf = |compliance: Value| {
        json!({
            "class_uid": 2003, "finding_info": {"uid": "f-1", "types": ["Posture Management"]}, "severity_id": 4,
            "metadata": {"product": {"uid": "arn:aws:securityhub:eu-central-1::productv2/aws/securityhub"}},
            "cloud": {"account": {"uid": "210987654321"}, "region": "eu-central-1"}, "status_id": 1,
            "resources": [{"type": "AWS::EC2::Instance", "uid": INSTANCE}], "compliance": compliance,
        })
    };
    let (passed, unmade) = (Some("the check has passed"), Some("the check could not be made"));
    for (document, expected) in [
        (asff(json!({"Status": "FAILED"})), None),
        (asff(json!({"Status": "PASSED"})), passed),
        (asff(json!({"Status": "WARNING"})), None),
        (asff(json!({"Status": "NOT_AVAILABLE"})), unmade),
        (asff(json!(null)), None),
        (ocsf(json!({"status": "Fail", "status_id": 3})), None),
        (ocsf(json!({"status": "Pass", "status_id": 1})), passed),
        (ocsf(json!({"status": "Warning", "status_id": 2})), None),
        (ocsf(json!(null)), None),
    ] {
        let alert = alert("", &document)?;
        assert_eq!((alert.inactive.as_deref(), names(&alert).len()), (expected, 1), "{document}");
    }
    Ok(())
}
