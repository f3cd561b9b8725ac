//! The SAM template: the same as `infra/aws`, for those who deploy with `CloudFormation`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stanch_tests::Said;

use crate::{generated, sam_checks};

/// The whole template.
pub(crate) fn template(all: &BTreeMap<&'static str, Said>) -> String {
    let mut template = frame();
    let put = |template: &mut Value, section: &str, name: String, value: Value| {
        template[section][name.as_str()] = value;
    };
    for (name, said) in all.iter().filter(|(name, _)| generated::wing(name) != "gcp") {
        let id = logical(name);
        if said.trigger == "order" {
            // True where the parameter lists it: cutting the list at the name leaves something else than the list.
            let list = json!({"Fn::Sub": ",${Auto},"});
            let cut = json!({"Fn::Join": ["", {"Fn::Split": [format!(",{name},"), list.clone()]}]});
            let listed = json!({"Fn::Not": [{"Fn::Equals": [cut, list]}]});
            put(&mut template, "Conditions", format!("{id}Wired"), listed);
        }
        for (part, resource) in resources(name, said, &id).into_iter().chain(sam_checks::of(name, &id)) {
            put(&mut template, "Resources", format!("{id}{part}"), resource);
        }
    }
    undo(all, &mut template["Resources"]);
    template["Resources"]["CheckRole"] = sam_checks::role(all);
    let header = "# Every responder that runs on Lambda, each with its role, rule, queues and alarms. Generated from what the\n\
                  # responders declare: STANCH_GENERATE=1 cargo test -p stanch-tests --test layout\n";
    format!("{header}{}", yaml(&template, 0))
}

fn frame() -> Value {
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": "Stanch: small functions, each of which carries out one containment step",
        "Parameters": {
            "Mode": {
                "Type": "String", "Default": "observe", "AllowedValues": ["observe", "enforce"],
                "Description": "observe: plan and report, write nothing. enforce: act."
            },
            "Guard": {
                "Type": "String", "Default": "{}",
                "Description": "The guard as JSON. Empty: this account alone"
            },
            "Auto": {
                "Type": "String", "Default": "", "AllowedPattern": "^([a-z0-9-]+(,[a-z0-9-]+)*)?$",
                "Description": "Order responders that an event may set off, separated by commas. List them in the guard under auto too"
            },
            "Cluster": {
                "Type": "String", "Default": "", "AllowedPattern": "^([0-9A-Za-z][A-Za-z0-9_-]{0,99})?$",
                "Description": "The EKS cluster that the Kubernetes responders reach, in this account and region"
            },
            "Architecture": {
                "Type": "String", "Default": "x86_64", "AllowedValues": ["x86_64", "arm64"],
                "Description": "What the functions are built for"
            },
            "AlertEmail": {
                "Type": "String", "Default": "",
                "Description": "Who hears of failed responders and dead letters"
            },
            "UndoPrincipal": {
                "Type": "String", "Default": "", "AllowedPattern": "^(arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+)?$",
                "Description": "Who may assume the role that reverts. Empty: there is none"
            },
            "Concurrency": {
                "Type": "Number", "Default": 5, "MinValue": 1,
                "Description": "Runs of one responder at the same time"
            },
            "LogRetentionDays": {
                "Type": "Number", "Default": 365,
                "AllowedValues": [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
                "Description": "How long the logs are kept"
            }
        },
        "Conditions": {
            "HasEmail": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlertEmail"}, ""]}]},
            "HasUndo": {"Fn::Not": [{"Fn::Equals": [{"Ref": "UndoPrincipal"}, ""]}]},
            "HasCluster": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Cluster"}, ""]}]}
        },
        "Globals": {
            "Function": {
                "Runtime": "provided.al2023",
                "Handler": "bootstrap",
                "Architectures": [{"Ref": "Architecture"}],
                "MemorySize": 256,
                "Timeout": 60,
                "ReservedConcurrentExecutions": {"Ref": "Concurrency"},
                "LoggingConfig": {"LogFormat": "JSON"},
                "Environment": {
                    "Variables": {
                        "STANCH_MODE": {"Ref": "Mode"},
                        "STANCH_GUARD": {"Ref": "Guard"},
                        "STANCH_LEDGER": {"Fn::Sub": "dynamodb:${Ledger}"}
                    }
                }
            }
        },
        "Resources": {
            "Ledger": {
                "Type": "AWS::DynamoDB::Table",
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": {
                    "BillingMode": "PAY_PER_REQUEST",
                    "AttributeDefinitions": [{"AttributeName": "key", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "key", "KeyType": "HASH"}],
                    "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true},
                    "SSESpecification": {"SSEEnabled": true}
                }
            },
            "Alarms": {"Type": "AWS::SNS::Topic"},
            "AlarmsByMail": {
                "Type": "AWS::SNS::Subscription",
                "Condition": "HasEmail",
                "Properties": {"TopicArn": {"Ref": "Alarms"}, "Protocol": "email", "Endpoint": {"Ref": "AlertEmail"}}
            }
        },
        "Outputs": {
            "Ledger": {
                "Description": "STANCH_LEDGER for a person's terminal",
                "Value": {"Fn::Sub": "dynamodb:${Ledger}"}
            },
            "UndoRole": {
                "Condition": "HasUndo",
                "Description": "The role that reverts",
                "Value": {"Fn::GetAtt": ["UndoRole", "Arn"]}
            }
        }
    })
}

/// What belongs to one responder, by the end of its logical id.
fn resources(name: &str, said: &Said, id: &str) -> Vec<(&'static str, Value)> {
    let wired = (said.trigger == "order").then(|| format!("{id}Wired"));
    let conditional = |mut resource: Value| {
        if let Some(condition) = &wired {
            resource["Condition"] = json!(condition);
        }
        resource
    };
    let arn = |part: &str| json!({"Fn::GetAtt": [format!("{id}{part}"), "Arn"]});
    let alarm = |what: &str, namespace: &str, metric: &str, dimension: Value| {
        json!({
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmDescription": what, "Namespace": namespace, "MetricName": metric, "Dimensions": [dimension],
                "Statistic": if metric == "Errors" { "Sum" } else { "Maximum" },
                "Period": 60, "EvaluationPeriods": 1, "Threshold": 0,
                "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
                "AlarmActions": [{"Ref": "Alarms"}]
            }
        })
    };
    let (act, _) = generated::parts(said);
    let mut statements = vec![json!({
        "Sid": "Ledger", "Effect": "Allow",
        "Action": ["dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"],
        "Resource": {"Fn::GetAtt": ["Ledger", "Arn"]}
    })];
    let mut environment = json!({});
    if generated::wing(name) == "aws" {
        statements.extend(generated::document(name, &act)["Statement"].as_array().into_iter().flatten().cloned());
    } else {
        let cluster = json!({"Fn::If": ["HasCluster", {"Fn::Sub": "eks:${AWS::AccountId}/${AWS::Region}/${Cluster}"}, {"Ref": "AWS::NoValue"}]});
        environment = json!({"STANCH_CLUSTER": cluster});
        statements.push(json!({
            "Sid": "Cluster", "Effect": "Allow", "Action": ["eks:DescribeCluster"],
            "Resource": {"Fn::Sub": "arn:${AWS::Partition}:eks:${AWS::Region}:${AWS::AccountId}:cluster/${Cluster}"}
        }));
    }
    let mut function = json!({
        "Type": "AWS::Serverless::Function",
        "Metadata": {"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": name}},
        "Properties": {
            "CodeUri": ".",
            "Description": said.about,
            "Policies": [{"Version": "2012-10-17", "Statement": statements}],
            "LoggingConfig": {"LogGroup": {"Ref": format!("{id}Log")}}
        }
    });
    if environment != json!({}) {
        function["Properties"]["Environment"] = json!({"Variables": environment});
    }
    let source = json!({
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "EventSourceArn": arn("Queue"), "FunctionName": {"Ref": format!("{id}Function")},
            "BatchSize": 10, "FunctionResponseTypes": ["ReportBatchItemFailures"]
        }
    });
    let reads = json!({
        "Type": "AWS::IAM::Policy",
        "Properties": {
            "PolicyName": "queue",
            "Roles": [{"Ref": format!("{id}FunctionRole")}],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
                "Resource": arn("Queue")
            }]}
        }
    });
    let rule = json!({
        "Type": "AWS::Events::Rule",
        "Properties": {
            "Description": format!("Findings that {name} can act on"),
            "EventPattern": generated::entry(name, said)["events"],
            "Targets": [{"Id": "queue", "Arn": arn("Queue"), "DeadLetterConfig": {"Arn": arn("Dead")}}]
        }
    });
    let admits = json!({
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [{"Ref": format!("{id}Queue")}, {"Ref": format!("{id}Dead")}],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
                "Resource": [arn("Queue"), arn("Dead")],
                "Condition": {"ArnEquals": {"aws:SourceArn": arn("Rule")}}
            }]}
        }
    });
    let queue = json!({
        "Type": "AWS::SQS::Queue",
        "UpdateReplacePolicy": "Delete", "DeletionPolicy": "Delete",
        "Properties": {
            "VisibilityTimeout": 360, "MessageRetentionPeriod": 345_600, "SqsManagedSseEnabled": true,
            "RedrivePolicy": {"deadLetterTargetArn": arn("Dead"), "maxReceiveCount": 20}
        }
    });
    let dead = json!({
        "Type": "AWS::SQS::Queue",
        "UpdateReplacePolicy": "Delete", "DeletionPolicy": "Delete",
        "Properties": {"MessageRetentionPeriod": 1_209_600, "SqsManagedSseEnabled": true}
    });
    let log = json!({
        "Type": "AWS::Logs::LogGroup",
        "UpdateReplacePolicy": "Retain", "DeletionPolicy": "Retain",
        "Properties": {"RetentionInDays": {"Ref": "LogRetentionDays"}}
    });
    let function_dimension = json!({"Name": "FunctionName", "Value": {"Ref": format!("{id}Function")}});
    let queue_dimension = json!({"Name": "QueueName", "Value": {"Fn::GetAtt": [format!("{id}Dead"), "QueueName"]}});
    vec![
        ("Function", function),
        ("Log", log),
        ("Errors", alarm(&format!("{name} failed; its log says why"), "AWS/Lambda", "Errors", function_dimension)),
        ("Source", conditional(source)),
        ("Reads", conditional(reads)),
        ("Rule", conditional(rule)),
        ("Admits", conditional(admits)),
        ("Queue", conditional(queue)),
        ("Dead", conditional(dead)),
        (
            "DeadLetters",
            conditional(alarm(
                &format!("{name} could not handle an alert within 20 tries"),
                "AWS/SQS",
                "ApproximateNumberOfMessagesVisible",
                queue_dimension,
            )),
        ),
    ]
}

/// The role that reverts, for people and playbooks, and what it may.
fn undo(all: &BTreeMap<&'static str, Said>, resources: &mut Value) {
    for (name, said) in all.iter().filter(|(name, _)| generated::wing(name) == "aws") {
        let (_, undo) = generated::parts(said);
        if !undo.is_empty() {
            resources[format!("{}Undo", logical(name))] = json!({
                "Type": "AWS::IAM::ManagedPolicy",
                "Condition": "HasUndo",
                "Properties": {
                    "Description": format!("Plan and revert of {name}"),
                    "Roles": [{"Ref": "UndoRole"}],
                    "PolicyDocument": generated::document(name, &undo)
                }
            });
        }
    }
    resources["UndoRole"] = json!({
        "Type": "AWS::IAM::Role",
        "Condition": "HasUndo",
        "Properties": {
            "Description": "Reverts what responders did. For people and playbooks.",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Principal": {"AWS": {"Ref": "UndoPrincipal"}}, "Action": "sts:AssumeRole"
            }]},
            "Policies": [{
                "PolicyName": "ledger",
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow",
                    "Action": ["dynamodb:BatchGetItem", "dynamodb:PutItem", "dynamodb:ConditionCheckItem"],
                    "Resource": {"Fn::GetAtt": ["Ledger", "Arn"]}
                }]}
            }]
        }
    });
}

/// `k8s-cordon-node` as `K8sCordonNode`.
pub(crate) fn logical(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        })
        .collect()
}

/// YAML of a value: block style, every text quoted that needs it.
fn yaml(value: &Value, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => map
            .iter()
            .map(|(key, value)| match value {
                Value::Object(inner) if !inner.is_empty() => format!("{pad}{key}:\n{}", yaml(value, depth + 1)),
                Value::Array(inner) if inner.iter().any(|it| it.is_object() || it.is_array()) => {
                    format!("{pad}{key}:\n{}", yaml(value, depth + 1))
                }
                flat => format!("{pad}{key}: {flat}\n"),
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::Object(inner) if !inner.is_empty() => {
                    let block = yaml(item, depth + 1);
                    format!("{pad}- {}", block.trim_start())
                }
                flat => format!("{pad}- {flat}\n"),
            })
            .collect(),
        flat => format!("{pad}{flat}\n"),
    }
}
