//! The table itself, by service and alphabetically.

use super::{Conditions, Grant};

const INSTANCE: &[&str] = &["arn:{partition}:ec2:{region}:{account}:instance/{instance}"];
const PRINCIPAL_ROLE: &[&str] =
    &["arn:{partition}:iam::{account}:role/{principal}", "arn:{partition}:iam::{account}:role/*/{principal}"];
const PRINCIPAL_USER: &[&str] =
    &["arn:{partition}:iam::{account}:user/{principal}", "arn:{partition}:iam::{account}:user/*/{principal}"];

const fn row(action: &'static str, resources: &'static [&'static str]) -> Grant {
    Grant { responder: None, action, resources, conditions: &[] }
}

/// One of the API's that have no resource-level permission.
const fn any(action: &'static str) -> Grant {
    row(action, &["*"])
}

/// Tags at creation of what a record makes, and on nothing that is there already.
const fn tagging(responder: &'static str, resources: &'static [&'static str], by: &'static Conditions) -> Grant {
    Grant { responder: Some(responder), action: "ec2:CreateTags", resources, conditions: by }
}

const INTERFACE: &[&str] = &["arn:{partition}:ec2:{region}:{account}:network-interface/*"];
const GROUP: &[&str] = &["arn:{partition}:ec2:{region}:{account}:security-group/*"];
const CLASSIC: &[&str] = &["arn:{partition}:elasticloadbalancing:{region}:{account}:loadbalancer/*"];
const TARGETS: &[&str] = &["arn:{partition}:elasticloadbalancing:{region}:{account}:targetgroup/*"];
const SCALING: &[&str] = &["arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/*"];
/// An address, and where it is.
const ADDRESS: &[&str] = &[
    "arn:{partition}:ec2:{region}:{account}:elastic-ip/*",
    "arn:{partition}:ec2:{region}:{account}:network-interface/*",
];

pub(super) const ROWS: &[Grant] = &[
    any("autoscaling:DescribeAutoScalingGroups"),
    any("autoscaling:DescribeAutoScalingInstances"),
    any("autoscaling:DescribeInstanceRefreshes"),
    any("elasticloadbalancing:DescribeLoadBalancers"),
    any("elasticloadbalancing:DescribeTargetGroups"),
    any("elasticloadbalancing:DescribeTargetHealth"),
    row("elasticloadbalancing:DeregisterInstancesFromLoadBalancer", CLASSIC),
    row("elasticloadbalancing:DeregisterTargets", TARGETS),
    row("elasticloadbalancing:RegisterInstancesWithLoadBalancer", CLASSIC),
    row("elasticloadbalancing:RegisterTargets", TARGETS),
    row("autoscaling:AttachInstances", SCALING),
    row("autoscaling:DetachInstances", SCALING),
    row("autoscaling:EnterStandby", SCALING),
    row("autoscaling:ExitStandby", SCALING),
    row("autoscaling:SetInstanceProtection", SCALING),
    any("ec2:DescribeAddresses"),
    any("ec2:DescribeNetworkInterfaces"),
    any("ec2:DescribeNetworkInterfaceAttribute"),
    any("ec2:DescribeSecurityGroupRules"),
    any("ec2:DescribeSecurityGroups"),
    any("ec2:DescribeTrunkInterfaceAssociations"),
    row("ec2:AssignIpv6Addresses", INTERFACE),
    row(
        "ec2:AssociateAddress",
        &[
            "arn:{partition}:ec2:{region}:{account}:elastic-ip/*",
            "arn:{partition}:ec2:{region}:{account}:network-interface/*",
            "arn:{partition}:ec2:{region}:{account}:instance/{instance}",
        ],
    ),
    row("ec2:AuthorizeSecurityGroupEgress", GROUP),
    row("ec2:AuthorizeSecurityGroupIngress", GROUP),
    row(
        "ec2:CreateSecurityGroup",
        &["arn:{partition}:ec2:{region}:{account}:security-group/*", "arn:{partition}:ec2:{region}:{account}:vpc/*"],
    ),
    tagging("aws-isolate-instance", GROUP, &[("StringEquals", "ec2:CreateAction", "CreateSecurityGroup")]),
    row("ec2:CreateTags", INSTANCE),
    row("ec2:DeleteSecurityGroup", GROUP),
    row("ec2:DeleteTags", INSTANCE),
    row("ec2:DisassociateAddress", ADDRESS),
    row(
        "ec2:ModifyNetworkInterfaceAttribute",
        &[
            "arn:{partition}:ec2:{region}:{account}:network-interface/*",
            "arn:{partition}:ec2:{region}:{account}:security-group/*",
            "arn:{partition}:ec2:{region}:{account}:instance/{instance}",
        ],
    ),
    row("ec2:RevokeSecurityGroupEgress", GROUP),
    row("ec2:RevokeSecurityGroupIngress", GROUP),
    row("ec2:UnassignIpv6Addresses", INTERFACE),
    any("ec2:DescribeIamInstanceProfileAssociations"),
    row("ec2:DescribeInstanceAttribute", INSTANCE),
    any("ec2:DescribeInstances"),
    any("ec2:DescribeLockedSnapshots"),
    any("ec2:DescribeSnapshots"),
    row("ec2:AssociateIamInstanceProfile", INSTANCE),
    row(
        "ec2:CreateSnapshots",
        &[
            "arn:{partition}:ec2:{region}:{account}:instance/{instance}",
            "arn:{partition}:ec2:{region}:{account}:volume/*",
            // A snapshot's ARN names no account.
            "arn:{partition}:ec2:{region}::snapshot/*",
        ],
    ),
    // Only on what is being created: else it could pass any snapshot off as evidence.
    tagging(
        "aws-snapshot-volumes",
        &["arn:{partition}:ec2:{region}::snapshot/*"],
        &[("StringEquals", "ec2:CreateAction", "CreateSnapshots")],
    ),
    row("ec2:DisassociateIamInstanceProfile", INSTANCE),
    Grant {
        responder: None,
        action: "ec2:LockSnapshot",
        resources: &["arn:{partition}:ec2:{region}::snapshot/*"],
        conditions: &[("StringLike", "ec2:ResourceTag/stanch:record", "*")],
    },
    row("ec2:ModifyInstanceAttribute", INSTANCE),
    // Whether a volume goes with the instance is asked of the volume, too.
    Grant {
        responder: Some("aws-protect-instance"),
        action: "ec2:ModifyInstanceAttribute",
        resources: &[
            "arn:{partition}:ec2:{region}:{account}:instance/{instance}",
            "arn:{partition}:ec2:{region}:{account}:volume/*",
        ],
        conditions: &[],
    },
    row("ec2:ModifyInstanceMetadataOptions", INSTANCE),
    row("ec2:ReplaceIamInstanceProfileAssociation", INSTANCE),
    row("ec2:TerminateInstances", INSTANCE),
    row("eks:CreatePodIdentityAssociation", &["arn:{partition}:eks:{region}:{account}:cluster/*"]),
    row("eks:DeletePodIdentityAssociation", &["arn:{partition}:eks:{region}:{account}:podidentityassociation/*/*"]),
    row("eks:DescribePodIdentityAssociation", &["arn:{partition}:eks:{region}:{account}:podidentityassociation/*/*"]),
    any("eks:ListClusters"),
    row("eks:ListPodIdentityAssociations", &["arn:{partition}:eks:{region}:{account}:cluster/*"]),
    row("iam:AttachRolePolicy", PRINCIPAL_ROLE),
    row("iam:AttachUserPolicy", PRINCIPAL_USER),
    row("iam:DeleteRolePolicy", PRINCIPAL_ROLE),
    row("iam:DeleteUserPolicy", PRINCIPAL_USER),
    row("iam:DetachRolePolicy", PRINCIPAL_ROLE),
    row("iam:DetachUserPolicy", PRINCIPAL_USER),
    // Whose key it is, is what is asked.
    row("iam:GetAccessKeyLastUsed", &["arn:{partition}:iam::{account}:user/*"]),
    row("iam:GetInstanceProfile", &["arn:{partition}:iam::{account}:instance-profile/*"]),
    row("iam:GetRole", PRINCIPAL_ROLE),
    row("iam:GetRolePolicy", PRINCIPAL_ROLE),
    row("iam:GetUser", PRINCIPAL_USER),
    row("iam:GetUserPolicy", PRINCIPAL_USER),
    row("iam:ListAccessKeys", PRINCIPAL_USER),
    row("iam:ListAttachedRolePolicies", PRINCIPAL_ROLE),
    row("iam:ListAttachedUserPolicies", PRINCIPAL_USER),
    row("iam:ListInstanceProfilesForRole", PRINCIPAL_ROLE),
    row("iam:ListRolePolicies", PRINCIPAL_ROLE),
    row("iam:ListUserPolicies", PRINCIPAL_USER),
    Grant {
        responder: Some("aws-detach-role"),
        action: "iam:PassRole",
        resources: &["arn:{partition}:iam::{account}:role/*"],
        // A role that no instance could have had before is not passed.
        conditions: &[("StringEquals", "iam:PassedToService", "ec2.amazonaws.com")],
    },
    Grant {
        responder: Some("aws-contain-principal"),
        action: "iam:PassRole",
        resources: PRINCIPAL_ROLE,
        conditions: &[("StringEquals", "iam:PassedToService", "pods.eks.amazonaws.com")],
    },
    row("iam:PutRolePolicy", PRINCIPAL_ROLE),
    row("iam:PutUserPolicy", PRINCIPAL_USER),
    row("iam:UpdateAccessKey", PRINCIPAL_USER),
    row("iam:UpdateAssumeRolePolicy", PRINCIPAL_ROLE),
];
