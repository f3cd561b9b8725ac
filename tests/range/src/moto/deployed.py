"""What a deployment needs beyond the responders: EKS access entries, which moto lacks, as the API Reference has them; a
queue's redrive policy printed as SQS prints it, without spaces, since Terraform compares the text; and the permissions
that a call needs beside its own."""
import json
from urllib.parse import unquote

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult as Answer
from moto.eks import urls as eks_urls
from moto.eks.models import Cluster
from moto.eks.responses import EKSResponse
from moto.iam.access_control import IAMRequest, IAMRequestBase
from moto.sqs.models import Queue

ENTRIES = "{0}/clusters/(?P<clusterName>[^/]+)/access-entries"
eks_urls.url_paths[ENTRIES + "$"] = eks_urls.response.dispatch
eks_urls.url_paths[ENTRIES + "/(?P<principalArn>.+)$"] = eks_urls.response.dispatch


class AccessEntryError(JsonRESTError):
    def __init__(self, code, kind, message):
        super().__init__(kind, message)
        self.code = code


def entries(self):
    name = self.parsed_url.path.split("/")[2]
    if name not in self.eks_backend.clusters:
        raise AccessEntryError(404, "ResourceNotFoundException", f"No cluster found for name: {name}.")
    if not hasattr(self.eks_backend, "access_entries"):
        self.eks_backend.access_entries = {}
    return name, self.eks_backend.access_entries.setdefault(name, {})


def entry(self):
    _, known = entries(self)
    arn = unquote(self.parsed_url.path.split("/", 4)[4])
    if arn not in known:
        raise AccessEntryError(404, "ResourceNotFoundException", "The specified principalArn could not be found.")
    return known, known[arn]


def create_access_entry(self):
    name, known = entries(self)
    arn = self._get_param("principalArn")
    if arn in known:
        raise AccessEntryError(409, "ResourceInUseException", "The specified access entry resource is already in use.")
    role = arn.rsplit("/", 1)[-1]
    known[arn] = {
        "clusterName": name, "principalArn": arn, "type": self._get_param("type") or "STANDARD",
        "kubernetesGroups": self._get_param("kubernetesGroups") or [], "tags": self._get_param("tags") or {},
        "username": self._get_param("username")
        or f"arn:aws:sts::{self.current_account}:assumed-role/{role}/{{{{SessionName}}}}",
        "accessEntryArn": f"arn:aws:eks:{self.region}:{self.current_account}:access-entry/{name}/role/{role}",
        "createdAt": 0, "modifiedAt": 0,
    }
    return Answer({"accessEntry": known[arn]})


def list_access_entries(self):
    return Answer({"accessEntries": sorted(entries(self)[1])})


def describe_access_entry(self):
    return Answer({"accessEntry": entry(self)[1]})


def update_access_entry(self):
    _, found = entry(self)
    for key in ("kubernetesGroups", "username"):
        if self._get_param(key) is not None:
            found[key] = self._get_param(key)
    return Answer({"accessEntry": found})


def delete_access_entry(self):
    known, found = entry(self)
    del known[found["principalArn"]]
    return Answer({})


for operation in (create_access_entry, list_access_entries, describe_access_entry, update_access_entry,
                  delete_access_entry):
    setattr(EKSResponse, operation.__name__, operation)


# EKS: a cluster's API server is nowhere, rather than at a name that somebody may have.
Cluster.endpoint = property(lambda self: "https://127.0.0.1:1", lambda self, _: None)

# SQS: a queue's attributes.
printed = Queue.attributes.fget


def attributes(self):
    found = printed(self)
    # moto goes on printing one that was taken off, as null.
    if found.pop("RedrivePolicy", None) and self.redrive_policy:
        found["RedrivePolicy"] = json.dumps(self.redrive_policy, separators=(",", ":"))
    return found


Queue.attributes = property(attributes)


# IAM: what AWS asks for. A call may need another permission beside its own, and a transaction needs those of its parts.
def asked(self):
    if self._action == "dynamodb:TransactWriteItems":
        parts = json.loads(self._body)["TransactItems"]
        names = {"Put": "PutItem", "ConditionCheck": "ConditionCheckItem", "Delete": "DeleteItem", "Update": "UpdateItem"}
        return sorted({f"dynamodb:{names[kind]}" for part in parts for kind in part})
    if self._action in ("ec2:CreateSnapshots", "ec2:CreateSecurityGroup"):
        if any(key.startswith("TagSpecification.1.Tag") for key in self._data):
            return [self._action, "ec2:CreateTags"]
    if self._action in ("ec2:AssociateIamInstanceProfile", "ec2:ReplaceIamInstanceProfileAssociation",
                        "eks:CreatePodIdentityAssociation"):
        return [self._action, "iam:PassRole"]
    return [self._action]


class NotAllowed(JsonRESTError):
    def __init__(self, code, kind, who, action):
        super().__init__(kind, f"User: {who} is not authorized to perform: {action} on resource: * because no "
                         f"identity-based policy allows the {action} action")
        self.code = code


@instead(IAMRequest, "_raise_access_denied")
def raise_access_denied(was, self):
    # moto answers in XML, which those that speak JSON do not read.
    if self._service == "dynamodb":
        raise NotAllowed(400, "com.amazon.coral.service#AccessDeniedException", self._access_key.arn, self._action)
    if self._service == "eks":
        raise NotAllowed(403, "AccessDeniedException", self._access_key.arn, self._action)
    was(self)


@instead(IAMRequestBase, "check_action_permitted")
def check_action_permitted(was, self, resource):
    own = self._action
    for self._action in asked(self):
        was(self, resource)
    self._action = own
