//! What tells that a function works, in the SAM template: its errors in the log, and its scheduled check.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stanch_tests::Said;

use crate::{generated, sam::logical};

/// The role under which the functions are asked.
pub(crate) fn role(all: &BTreeMap<&'static str, Said>) -> Value {
    let functions: Vec<_> = all
        .keys()
        .filter(|name| generated::wing(name) != "gcp")
        .map(|name| json!({"Fn::GetAtt": [format!("{}Function", logical(name)), "Arn"]}))
        .collect();
    json!({
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": "Asks the functions whether they could act.",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
            }]},
            "Policies": [{
                "PolicyName": "ask",
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [{
                    "Sid": "Ask", "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": functions
                }]}
            }]
        }
    })
}

/// The schedule of one responder, what it writes into the log as metrics, and the alarms on them.
pub(crate) fn of(name: &str, id: &str) -> Vec<(&'static str, Value)> {
    let cluster = (generated::wing(name) == "k8s").then_some("HasCluster");
    let conditional = |mut resource: Value| {
        if let Some(condition) = cluster {
            resource["Condition"] = json!(condition);
        }
        resource
    };
    let metric = |what: &str| json!({"Fn::Sub": format!("${{AWS::StackName}}-{name}-{what}")});
    let filter = |what: &str, pattern: &str, value: &str| {
        json!({
            "Type": "AWS::Logs::MetricFilter",
            "Properties": {
                "LogGroupName": {"Ref": format!("{id}Log")}, "FilterPattern": pattern,
                "MetricTransformations": [{"MetricNamespace": "Stanch", "MetricName": metric(what), "MetricValue": value}]
            }
        })
    };
    let alarm = |what: &str, said: String, rule: Value| {
        let mut alarm = json!({
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmDescription": said, "Namespace": "Stanch", "MetricName": metric(what), "Statistic": "Sum",
                "AlarmActions": [{"Ref": "Alarms"}]
            }
        });
        for (key, value) in rule.as_object().into_iter().flatten() {
            alarm["Properties"][key] = value.clone();
        }
        alarm
    };
    let mut green = filter("green", "{ $.green = 0 || $.green = 1 }", "$.green");
    green["Properties"]["MetricTransformations"][0]["Dimensions"] = json!([{"Key": "scope", "Value": "$.scope"}]);
    let schedule = json!({
        "Type": "AWS::Scheduler::Schedule",
        "Properties": {
            "Description": format!("Could {name} act today?"),
            "ScheduleExpression": "rate(1 hour)",
            "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
            "Target": {
                "Arn": {"Fn::GetAtt": [format!("{id}Function"), "Arn"]},
                "RoleArn": {"Fn::GetAtt": ["CheckRole", "Arn"]},
                "Input": "{\"mode\":\"check\"}"
            }
        }
    });
    let missed = json!({
        "Period": 3600, "EvaluationPeriods": 2, "Threshold": 1, "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching"
    });
    let any = json!({
        "Period": 60, "EvaluationPeriods": 1, "Threshold": 0, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching"
    });
    vec![
        ("Logged", filter("logged", "{ $.level = \"ERROR\" }", "1")),
        ("LoggedErrors", alarm("logged", format!("{name} logged an error: somebody must look"), any)),
        ("Check", conditional(schedule)),
        ("Green", green),
        ("AllGreen", filter("all-green", "{ $.all_green = 1 }", "1")),
        (
            "NotGreen",
            conditional(alarm(
                "all-green",
                format!("{name} has not shown that it could act: its checks are red, or do not run"),
                missed,
            )),
        ),
    ]
}
