"""Drives the simulator by Google's client; every answer is held to the discovery documents."""

import json
import pathlib
import sys

import googleapiclient
import httplib2
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError

endpoint, project = sys.argv[1:]
zone, region = "europe-west1-b", "europe-west1"
documents = pathlib.Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"


def service(name, root):
    document = json.loads((documents / f"{name}.v1.json").read_text())
    document["rootUrl"] = document["baseUrl"] = root
    document["mtlsRootUrl"] = root
    client = build_from_document(document, http=httplib2.Http(), base=root)
    return document, client


def check(document, schema, value, where):
    """Every field of an answer is one that the document has, with its type, and each enum value one of its own."""
    if "$ref" in schema:
        return check(document, document["schemas"][schema["$ref"]], value, where)
    kind = schema.get("type")
    if kind == "object":
        assert isinstance(value, dict), f"{where}: no object"
        known, more = schema.get("properties", {}), schema.get("additionalProperties")
        for key, item in value.items():
            field = known.get(key, more)
            assert field is not None, f"{where}.{key} is not in the document"
            check(document, field, item, f"{where}.{key}")
    elif kind == "array":
        assert isinstance(value, list), f"{where}: no list"
        for at, item in enumerate(value):
            check(document, schema["items"], item, f"{where}[{at}]")
    elif kind == "string":
        assert isinstance(value, str), f"{where}: {value!r} is no string"
        allowed = schema.get("enum")
        assert allowed is None or value in allowed, f"{where}: {value!r} is not one of {allowed}"
    elif kind == "integer":
        assert isinstance(value, int) and not isinstance(value, bool), f"{where}: {value!r} is no integer"
    elif kind == "boolean":
        assert isinstance(value, bool), f"{where}: {value!r} is no boolean"


compute_document, compute = service("compute", f"{endpoint}/")
iam_document, iam = service("iam", f"{endpoint}/")


def call(request, document=compute_document):
    answer = request.execute()
    method = next(found for found in methods(document) if found["id"] == request.methodId)
    check(document, method["response"], answer, request.methodId)
    return answer


def methods(document):
    todo = list(document["resources"].values())
    while todo:
        resource = todo.pop()
        yield from resource.get("methods", {}).values()
        todo.extend(resource.get("resources", {}).values())


def done(request, waiter=None):
    operation = call(request)
    wait = {"zone": compute.zoneOperations, "region": compute.regionOperations}
    for scope, operations in wait.items():
        if scope in operation:
            at = {scope: operation[scope].rsplit("/", 1)[1]}
            ended = call(operations().wait(project=project, operation=operation["name"], **at))
            break
    else:
        ended = call(compute.globalOperations().wait(project=project, operation=operation["name"]))
    assert ended["status"] == "DONE" and "error" not in ended, ended
    return ended


def refused(request, status, reason=None):
    try:
        request.execute()
    except HttpError as error:
        assert error.resp.status == status, error
        if reason:
            assert json.loads(error.content)["error"]["errors"][0]["reason"] == reason, error.content
        return json.loads(error.content)["error"]
    raise AssertionError(f"{request.uri} was not refused with {status}")


instances = compute.instances()
web = {"project": project, "zone": zone, "instance": "web-1"}
now = call(instances.get(**web))
call(compute.projects().get(project=project))
call(compute.disks().get(project=project, zone=zone, disk="web-1"))
call(compute.regionDisks().get(project=project, region=region, disk="shared"))
done(compute.disks().createSnapshot(project=project, zone=zone, disk="web-1", body={"name": "s-1", "labels": {"a": "b"}}))
call(compute.snapshots().get(project=project, snapshot="s-1"))

# A fingerprint that is not the present one.
refused(instances.setTags(**web, body={"items": ["x"], "fingerprint": "AAAA"}), 412, "conditionNotMet")
refused(instances.setTags(**web, body={"items": ["x"]}), 412)
tags = {"items": [*now["tags"]["items"], "quarantine"], "fingerprint": now["tags"]["fingerprint"]}
done(instances.setTags(**web, body=tags))
refused(instances.setTags(**web, body=tags), 412, "conditionNotMet")
now = call(instances.get(**web))
many = {"items": [f"t{n}" for n in range(65)], "fingerprint": now["tags"]["fingerprint"]}
refused(instances.setTags(**web, body=many), 400, "invalid")
refused(instances.setTags(**web, body={**many, "items": ["Not_One"]}), 400, "invalid")
labels = {"labels": {**now["labels"], "stanch-incident": "inc-1"}, "labelFingerprint": now["labelFingerprint"]}
done(instances.setLabels(**web, body=labels))
refused(instances.setLabels(**web, body=labels), 412)
metadata = {**now["metadata"], "items": [*now["metadata"]["items"], {"key": "ssh-keys", "value": "ana:ssh-ed25519 AAAA"}]}
done(instances.setMetadata(**web, body=metadata))
refused(instances.setMetadata(**web, body=metadata), 412)
resource = {"project": project, "zone": zone, "resource": "web-1"}
done(instances.setDeletionProtection(**resource, deletionProtection=True))
refused(instances.delete(**web), 400)
refused(instances.setDeletionProtection(project=project, zone=zone, resource="node-a", deletionProtection=True), 400)
done(instances.setDiskAutoDelete(**web, deviceName="web-1", autoDelete=False))
refused(instances.setDiskAutoDelete(**web, deviceName="absent", autoDelete=False), 400)
call(instances.testIamPermissions(**resource, body={"permissions": ["compute.instances.get"]}))

# Addresses: a reserved one comes back, one that is not reserved does not, and there is one of each family.
address = {"type": "ONE_TO_ONE_NAT", "name": "External NAT", "natIP": "203.0.113.7", "networkTier": "PREMIUM"}
refused(instances.addAccessConfig(**web, networkInterface="nic0", body=address), 400)
assert call(compute.addresses().list(project=project, region=region))["items"][0]["status"] == "IN_USE"
done(instances.deleteAccessConfig(**web, networkInterface="nic0", accessConfig="External NAT"))
refused(instances.deleteAccessConfig(**web, networkInterface="nic0", accessConfig="External NAT"), 400)
refused(instances.deleteAccessConfig(**web, networkInterface="nic7", accessConfig="External NAT"), 400)
assert call(compute.addresses().get(project=project, region=region, address="front"))["status"] == "RESERVED"
refused(instances.addAccessConfig(**web, networkInterface="nic0", body={**address, "natIP": "198.51.100.1"}), 400)
done(instances.addAccessConfig(**web, networkInterface="nic0", body=address))
done(instances.deleteAccessConfig(**web, networkInterface="nic1", accessConfig="external-ipv6"))

# The service account of a running instance cannot be changed.
none = {"email": "", "scopes": []}
refused(instances.setServiceAccount(**web, body=none), 400)
refused(instances.stop(**web), 400)  # a local SSD, and nothing said about it
done(instances.stop(**web, discardLocalSsd=True))
done(instances.setServiceAccount(**web, body=none))
done(instances.start(**web))
now = call(instances.get(**web))
assert now["status"] == "RUNNING" and "serviceAccounts" not in now, now

# Rules: both families do not mix, defaults are filled in, a patch keeps what it does not name.
firewalls = compute.firewalls()
rule = {"name": "deny-in", "network": "global/networks/default", "denied": [{"IPProtocol": "all"}], "direction": "INGRESS",
        "sourceRanges": ["::/0"], "priority": 1, "targetTags": ["quarantine"], "logConfig": {"enable": True}}
refused(firewalls.insert(project=project, body={**rule, "sourceRanges": ["0.0.0.0/0", "::/0"]}), 400, "invalid")
for bad in [{"priority": 65536}, {"sourceRanges": ["10.0.0.0/33"]}, {"name": "Deny"}, {"direction": "SIDEWAYS"},
            {"allowed": [{"IPProtocol": "all"}]}, {"denied": []}, {"denied": [{"IPProtocol": "icmp", "ports": ["1"]}]},
            {"direction": "EGRESS", "sourceTags": ["a"]}, {"targetTags": ["Bad_Tag"]}]:
    refused(firewalls.insert(project=project, body={**rule, **bad}), 400, "invalid")
refused(firewalls.insert(project=project, body={**rule, "network": "global/networks/absent"}), 404, "notFound")
done(firewalls.insert(project=project, body=rule))
refused(firewalls.insert(project=project, body=rule), 409, "alreadyExists")
out = {"name": "deny-out", "denied": [{"IPProtocol": "tcp"}], "direction": "EGRESS"}
done(firewalls.insert(project=project, body=out))
found = call(firewalls.get(project=project, firewall="deny-out"))
assert found["destinationRanges"] == ["0.0.0.0/0"] and found["priority"] == 1000, found
done(firewalls.patch(project=project, firewall="deny-in", body={"priority": 5}))
found = call(firewalls.get(project=project, firewall="deny-in"))
assert found["priority"] == 5 and found["sourceRanges"] == ["::/0"] and found["logConfig"]["enable"], found
assert len(call(firewalls.list(project=project))["items"]) == 2
call(compute.networks().get(project=project, network="default"))
seen = call(instances.getEffectiveFirewalls(**web, networkInterface="nic0"))
assert {item["name"] for item in seen["firewalls"]} == {"deny-in", "deny-out"}, seen
assert seen["firewallPolicys"][0]["type"] == "HIERARCHY"
assert "firewalls" not in seen or call(instances.getEffectiveFirewalls(**web, networkInterface="nic1"))["firewalls"] == []
done(firewalls.delete(project=project, firewall="deny-out"))
refused(firewalls.delete(project=project, firewall="deny-out"), 404)

# Groups, in pages of two.
group = {"project": project, "zone": zone, "instanceGroupManager": "pool"}
managers = compute.instanceGroupManagers()
first = call(managers.listManagedInstances(**group))
second = call(managers.listManagedInstances(**group, pageToken=first["nextPageToken"]))
names = [item["name"] for item in first["managedInstances"] + second["managedInstances"]]
assert names == ["node-a", "node-b", "node-c"] and "nextPageToken" not in second, names
assert call(managers.get(**group))["targetSize"] == 3
call(managers.list(project=project, zone=zone))
assert len(call(compute.instanceGroupManagers().aggregatedList(project=project))["items"]) == 2
by = {item["key"]: item["value"] for item in call(instances.get(project=project, zone=zone, instance="node-b"))["metadata"]["items"]}
number = by["created-by"].split("/")[1]
assert number.isdigit() and call(managers.get(**{**group, "project": number}))["name"] == "pool"
refused(managers.abandonInstances(**group, body={"instances": [f"zones/{zone}/instances/web-1"]}), 400)
done(managers.abandonInstances(**group, body={"instances": [f"zones/{zone}/instances/node-b"]}))
call(instances.get(project=project, zone=zone, instance="node-b"))
done(managers.deleteInstances(**group, body={"instances": [f"zones/{zone}/instances/node-c"]}))
refused(instances.get(project=project, zone=zone, instance="node-c"), 404)
done(managers.resize(**group, size=2))
# One that is deleted behind the group's back comes back as another.
before = call(instances.get(project=project, zone=zone, instance="node-a"))["id"]
done(instances.delete(project=project, zone=zone, instance="node-a"))
assert call(instances.get(project=project, zone=zone, instance="node-a"))["id"] != before
wide = {"project": project, "region": region, "instanceGroupManager": "wide"}
regional = compute.regionInstanceGroupManagers()
assert call(regional.get(**wide))["targetSize"] == 3
call(regional.list(project=project, region=region))
call(regional.listManagedInstances(**wide))
done(regional.abandonInstances(**wide, body={"instances": ["zones/europe-west1-c/instances/r-node-a"]}))
done(regional.deleteInstances(**wide, body={"instances": ["zones/europe-west1-c/instances/r-node-b"]}))
done(regional.resize(**wide, size=1))

# IAM.
accounts = iam.projects().serviceAccounts()
email = f"web@{project}.iam.gserviceaccount.com"
name = f"projects/{project}/serviceAccounts/{email}"
found = call(accounts.get(name=name), iam_document)
assert "disabled" not in found
assert call(accounts.get(name=f"projects/-/serviceAccounts/{found['uniqueId']}"), iam_document)["email"] == email
assert refused(accounts.get(name=f"projects/{project}/serviceAccounts/no@x.iam.gserviceaccount.com"), 404)["status"] == "NOT_FOUND"
call(accounts.disable(name=name), iam_document)
call(accounts.enable(name=name), iam_document)
call(accounts.disable(name=name), iam_document)
policy = call(accounts.getIamPolicy(resource=name), iam_document)
assert policy["bindings"][0]["members"] == ["serviceAccount:acme-prod.svc.id.goog[shop/web]"], policy
assert refused(accounts.setIamPolicy(resource=name, body={"policy": {**policy, "etag": "AAAA"}}), 409)["status"] == "ABORTED"
call(accounts.setIamPolicy(resource=name, body={"policy": {**policy, "bindings": []}}), iam_document)
keys = call(accounts.keys().list(name=name), iam_document)["keys"]
assert [key["keyType"] for key in keys] == ["USER_MANAGED", "SYSTEM_MANAGED"]
call(accounts.keys().disable(name=keys[0]["name"], body={}), iam_document)
assert refused(accounts.keys().disable(name=keys[1]["name"], body={}), 400)["status"] == "FAILED_PRECONDITION"
assert call(accounts.keys().get(name=keys[0]["name"]), iam_document)["disabled"] is True
