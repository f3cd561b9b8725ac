"""What `infra/gcp` must have made, by the settings that it was given; `gcp.py` asks Terraform for them."""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESPONDERS = [json.loads(file.read_text()) for file in sorted((ROOT / "infra/responders").glob("*.json"))]
KNOWN = {it["name"]: it for it in RESPONDERS if it["wing"] != "aws"}
PROJECT, IMAGES = "acme-sec", "europe-docker.pkg.dev/acme-sec/stanch"
BASE = {"project": PROJECT, "region": "europe-west3", "ledger_location": "eur3", "images": IMAGES}
# Of what `look` asks for.
DEFAULTS = {"name": "stanch", "mode": "observe", "projects": [], "clusters": [], "auto": [], "order_identities": [],
            "undo_members": [], "audit_events": {}, "service_urls": {}, "organization": None, "alert_email": None,
            "image_digests": {}, "check_hours": 1, "protect_ledger": True, "kms_key": None,
            "responders": [name for name, it in KNOWN.items() if it["wing"] == "gcp"]}
AUDIT = {"service": "compute.googleapis.com", "method": "v1.compute.instances.insert"}
SETTINGS = {
    "default": {},
    "everything": {
        "responders": list(KNOWN), "auto": ["gcp-isolate-instance", "k8s-drain-node"], "mode": "enforce",
        "projects": ["acme-prod"], "clusters": ["gke:acme-prod/europe-west3/prod", "gke:acme-lab/europe-west3/lab"],
        "organization": "123456789012", "alert_email": "soc@example.com", "check_hours": 24, "protect_ledger": False,
        "kms_key": "projects/acme-sec/locations/europe/keyRings/stanch/cryptoKeys/stanch",
        "order_identities": ["analyst@example.com", "playbook@acme-sec.iam.gserviceaccount.com"],
        "undo_members": ["group:analysts@example.com"],
        "image_digests": {"gcp-snapshot-disks": f"sha256:{'0' * 64}"},
        # One that is wired all the same and one that takes orders only.
        "audit_events": {"insert": {**AUDIT, "responders": ["gcp-mark-instance", "gcp-delete-instance"]}},
        "service_urls": {"gcp-delete-instance": "https://delete.run.app"},
    },
    "clusters_only": {"responders": ["k8s-mark", "k8s-drain-node"], "clusters": ["gke:acme-sec/europe-west3/sec"]},
    # A cluster without a Kubernetes responder, and undo that has nothing of Google Cloud to undo.
    "nothing_to_do": {"responders": [], "clusters": ["gke:acme-prod/europe-west3/prod"],
                      "undo_members": ["user:analyst@example.com"]},
    "longest_names": {"name": "a" * 20, "responders": list(KNOWN),
                      "audit_events": {"e" * 40 + end: {**AUDIT, "responders": ["k8s-mark", "k8s-locate"]} for end in "ab"}},
}
REFUSED = {
    "unknown_responder": ({"responders": ["gcp-no-such"]}, "terraform_data.input"),
    "auto_of_another_cloud": ({"auto": ["aws-isolate-instance"]}, "terraform_data.input"),
    "audit_event_for_nobody": ({"audit_events": {"a": {**AUDIT, "responders": ["k8s-mark"]}}}, "terraform_data.input"),
    "cluster_without_project": ({"clusters": ["prod"]}, "var.clusters"),
    "check_hours_of_five": ({"check_hours": 5}, "var.check_hours"),
    "mode_of_its_own": ({"mode": "act"}, "var.mode"),
    "name_too_long": ({"name": "a" * 21}, "var.name"),
}
LEDGER = ("datastore.databases.get", "datastore.entities.create", "datastore.entities.get", "datastore.entities.update")
CLUSTER = ("container.clusters.connect", "container.clusters.get")
# How long a name of it may be, and which of its arguments that is.
LIMITS = {"google_service_account": ("account_id", 30), "google_cloud_run_v2_service": ("name", 49),
          "google_cloud_run_v2_job": ("name", 49), "google_project_iam_custom_role": ("role_id", 64),
          "google_eventarc_trigger": ("name", 63), "google_firestore_database": ("name", 63),
          "google_cloud_scheduler_job": ("name", 500), "google_pubsub_subscription": ("name", 255)}


def same(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {json.dumps(found, indent=1)}\nwanted: {json.dumps(wanted, indent=1)}")


class State:
    def __init__(self, said):
        self.resources = said["root_module"]["resources"]
        self.outputs = {name: it["value"] for name, it in said["outputs"].items()}

    def every(self, kind):
        return [it["values"] for it in self.resources if it["type"] == kind]

    def each(self, address):
        """The instances of a resource, by their keys."""
        kind, name = address.split(".")
        return {it.get("index"): it["values"] for it in self.resources if (it["type"], it["name"]) == (kind, name)}

    def one(self, address):
        found, = self.each(address).values()
        return found

    def granted(self):
        """Who may do what on what, under which condition; a role of our own is what it permits."""
        own = {it["id"]: it for it in self.every("google_project_iam_custom_role")}
        who = {it["member"]: name for name, it in self.each("google_service_account.act").items()}
        who |= {self.one(f"google_service_account.{name}")["member"]: name for name in ("push", "check")}
        sinks = self.each("google_logging_project_sink.alerts")
        who |= {it["writer_identity"]: f"sink of {name}" for name, it in sinks.items()}
        names = {self.one(f"google_pubsub_topic.{name}")["id"]: name for name in ("alerts", "dead")}
        names |= {it["id"]: name for name, it in self.each("google_pubsub_subscription.responder").items()}
        found = []
        for it in (it for it in self.resources if it["type"].endswith("_iam_member")):
            kind, values = it["type"].removeprefix("google_").removesuffix("_iam_member"), it["values"]
            on = next(values[key] for key in ("topic", "subscription", "name", "project") if key in values)
            role = own.get(values["role"])
            if role:
                same(f"{it['address']}: the role's project", role["project"], on)
            condition, = [it["expression"] for it in values["condition"]] or [None]
            found.append((f"{kind} {names.get(on, on)}", tuple(role["permissions"]) if role else values["role"],
                          who.get(values["member"], values["member"]), condition))
        return found


def split(setting):
    deployed = {name: KNOWN[name] for name in setting["responders"]}
    wired = [name for name, it in deployed.items() if it["trigger"] == "event" or name in setting["auto"]]
    heard = [(key, name) for key, event in setting["audit_events"].items() for name in event["responders"]]
    return deployed, wired, heard


def grants(setting, state):
    """Every right that there may be, and no other."""
    deployed, wired, heard = split(setting)
    name = setting["name"]
    projects = [PROJECT, *setting["projects"]]
    clusters = {it.removeprefix("gke:").split("/")[0] for it in setting["clusters"]}
    if all(it["wing"] == "gcp" for it in deployed.values()):
        clusters = []
    ledger = f'resource.name == "projects/{PROJECT}/databases/{name}-ledger"'
    pubsub = f"serviceAccount:service-{state.one('google_project.here')['number']}@gcp-sa-pubsub.iam.gserviceaccount.com"
    yield from ((f"project {PROJECT}", LEDGER, who, ledger) for who in [*deployed, *setting["undo_members"]])
    for who, it in deployed.items():
        if it["wing"] == "gcp":
            yield from ((f"project {at}", tuple(it["permissions"]["act"]), who, None) for at in projects)
        else:
            yield from ((f"project {at}", CLUSTER, who, None) for at in clusters)
        checked = state.each("google_cloud_run_v2_job.check")[who]["name"]
        yield f"cloud_run_v2_job {checked}", "roles/run.invoker", "check", None
        for email in setting["order_identities"]:
            kind = "serviceAccount" if email.endswith(".gserviceaccount.com") else "user"
            yield f"cloud_run_v2_service {name}-{who}", "roles/run.invoker", f"{kind}:{email}", None
    undo = sorted({right for it in deployed.values() if it["wing"] == "gcp" for right in it["permissions"]["undo"]})
    for who in setting["undo_members"]:
        yield from ((f"project {at}", tuple(undo), who, None) for at in projects if undo)
        yield from ((f"project {at}", CLUSTER, who, None) for at in clusters)
    for who in {*wired, *(who for _, who in heard)}:
        yield f"cloud_run_v2_service {name}-{who}", "roles/run.invoker", "push", None
    for who in wired:
        yield "pubsub_topic dead", "roles/pubsub.publisher", who, None
        yield f"pubsub_subscription {who}", "roles/pubsub.subscriber", pubsub, None
    yield "pubsub_topic dead", "roles/pubsub.publisher", pubsub, None
    yield from (("pubsub_topic alerts", "roles/pubsub.publisher", f"sink of {at}", None) for at in projects)
    if setting["organization"]:
        finder = state.one("google_scc_v2_organization_notification_config.findings")["service_account"]
        yield "pubsub_topic alerts", "roles/pubsub.publisher", f"serviceAccount:{finder}", None
    if heard:
        yield f"project {PROJECT}", "roles/eventarc.eventReceiver", "push", None


def roles(setting):
    """The custom roles, by project and name."""
    deployed, _, _ = split(setting)
    prefix = setting["name"].replace("-", "_")
    cloud = {name: it["permissions"] for name, it in deployed.items() if it["wing"] == "gcp"}
    undo = sorted({right for it in cloud.values() for right in it["undo"]})
    found = {(PROJECT, f"{prefix}_ledger"): list(LEDGER)}
    for at in [PROJECT, *setting["projects"]]:
        found |= {(at, f"{prefix}_{name.replace('-', '_')}"): it["act"] for name, it in cloud.items()}
        if setting["undo_members"] and undo:
            found[at, f"{prefix}_undo"] = undo
    if len(cloud) < len(deployed):
        found |= {(it.removeprefix("gke:").split("/")[0], f"{prefix}_cluster"): list(CLUSTER) for it in setting["clusters"]}
    return {f"{at}/{name}": permissions for (at, name), permissions in found.items()}


def variables(container):
    found = {it["name"]: it["value"] for it in container["env"]}
    return {name: json.loads(value) if value.startswith("{") else value for name, value in found.items()}


def look_at_services(setting, state):
    """Each responder as a service and as a job that checks it, under its own account and with its own settings."""
    deployed, _, _ = split(setting)
    accounts = state.each("google_service_account.act")
    jobs, clocks = state.each("google_cloud_run_v2_job.check"), state.each("google_cloud_scheduler_job.check")
    services = state.each("google_cloud_run_v2_service.responder")
    for what, made in (("accounts", accounts), ("services", services), ("checks", jobs), ("schedules", clocks)):
        same(what, sorted(made), sorted(deployed))
    projects = sorted([PROJECT, *setting["projects"]])
    guard = {"projects": projects, "auto": sorted(setting["auto"])}
    if setting["clusters"]:
        guard["clusters"] = setting["clusters"]
    push, clock = (state.one(f"google_service_account.{name}")["email"] for name in ("push", "check"))
    for name, it in deployed.items():
        service, audience = services[name], f"https://{setting['name']}-{name}.stanch.internal"
        template, = service["template"]
        check, = jobs[name]["template"][0]["template"]
        same(f"{name} runs as", (template["service_account"], check["service_account"]), (accounts[name]["email"],) * 2)
        same(f"{name}'s door", (service["ingress"], service["custom_audiences"]),
             ("INGRESS_TRAFFIC_INTERNAL_ONLY", [audience]))
        digest = setting["image_digests"].get(name)
        image = f"{IMAGES}/{name}@{digest}" if digest else f"{IMAGES}/{name}:latest"
        containers = template["containers"] + check["containers"]
        same(f"{name}'s images", [it["image"] for it in containers], [image, image])
        own = {"STANCH_MODE": setting["mode"], "STANCH_GUARD": guard,
               "STANCH_LEDGER": f"firestore:{PROJECT}/{setting['name']}-ledger/records"}
        if it["wing"] == "k8s" and setting["clusters"]:
            own["STANCH_CLUSTER"] = setting["clusters"][0]
        callers = [{"audience": audience, "events": [push], "orders": setting["order_identities"]}]
        if name in setting["service_urls"]:
            callers.append({"audience": setting["service_urls"][name], "events": [push], "orders": []})
        served, checked = (variables(it) for it in containers)
        same(f"{name}'s check", (checked, check["containers"][0]["args"]), (own, ["check"]))
        same(f"{name}'s variables", served, {
            **own, "STANCH_TIMEOUT": "290", "STANCH_DEAD_LETTER": state.one("google_pubsub_topic.dead")["id"],
            "STANCH_CALLERS": {"oidc": callers}})
        target, = clocks[name]["http_target"]
        same(f"{name}'s schedule", (target["uri"], target["oauth_token"][0]["service_account_email"]),
             (f"https://run.googleapis.com/v2/{jobs[name]['id']}:run", clock))
    same("outputs", state.outputs, {
        "services": {name: it["uri"] for name, it in services.items()},
        "topic": state.one("google_pubsub_topic.alerts")["id"],
        "service_accounts": {name: it["email"] for name, it in accounts.items()},
        "ledger": f"firestore:{PROJECT}/{setting['name']}-ledger/records"})


def look_at_triggers(setting, state):
    """What reaches whom: a subscription for each that is wired, a trigger for each that an audit event names."""
    _, wired, heard = split(setting)
    push = state.one("google_service_account.push")["email"]
    alerts, dead = (state.one(f"google_pubsub_topic.{name}")["id"] for name in ("alerts", "dead"))
    services = state.each("google_cloud_run_v2_service.responder")
    subscriptions = state.each("google_pubsub_subscription.responder")
    same("subscriptions", sorted(subscriptions), sorted(wired))
    for name, it in subscriptions.items():
        same(f"{name}'s subscription", (it["topic"], it["push_config"], it["dead_letter_policy"]), (
            alerts,
            [{"push_endpoint": services[name]["uri"], "attributes": None, "no_wrapper": [], "oidc_token": [
                {"service_account_email": push, "audience": f"https://{setting['name']}-{name}.stanch.internal"}]}],
            [{"dead_letter_topic": dead, "max_delivery_attempts": 20}]))
    same("dead letters are kept", state.one("google_pubsub_subscription.dead")["topic"], dead)
    triggers = state.each("google_eventarc_trigger.audit")
    reached = {key: it["destination"][0]["cloud_run_service"][0]["service"] for key, it in triggers.items()}
    same("audit events reach", reached, {f"{key}-{name}": services[name]["name"] for key, name in heard})
    for it in triggers.values():
        same("an audit event", (sorted(one["value"] for one in it["matching_criteria"]), it["service_account"]), (
            sorted(["google.cloud.audit.log.v1.written", AUDIT["service"], AUDIT["method"]]), push))
    same("sinks", {key: it["destination"] for key, it in state.each("google_logging_project_sink.alerts").items()},
         {key: f"pubsub.googleapis.com/{alerts}" for key in [PROJECT, *setting["projects"]]})
    findings = state.every("google_scc_v2_organization_notification_config")
    same("Security Command Center", [(it["organization"], it["pubsub_topic"]) for it in findings],
         [(setting["organization"], alerts)] if setting["organization"] else [])


def look_at_the_rest(setting, state):
    deployed, _, _ = split(setting)
    apis = ["run", "pubsub", "firestore", "compute", "iam", "logging", "monitoring", "cloudresourcemanager",
            "cloudscheduler"]
    apis += [name for name, key in (("container", "clusters"), ("eventarc", "audit_events"),
                                    ("securitycenter", "organization")) if setting[key]]
    same("APIs", sorted(it["service"] for it in state.every("google_project_service")),
         sorted(f"{name}.googleapis.com" for name in apis))
    ledger, kept = state.one("google_firestore_database.ledger"), setting["protect_ledger"]
    same("the ledger is protected", (ledger["delete_protection_state"], ledger["deletion_policy"]),
         ("DELETE_PROTECTION_ENABLED", "ABANDON") if kept else ("DELETE_PROTECTION_DISABLED", "DELETE"))
    keys = [it["kms_key_name"] for it in [*ledger["cmek_config"], *state.every("google_pubsub_topic")]]
    same("keys", keys, [setting["kms_key"]] * 3 if setting["kms_key"] else [None] * 2)
    # Monitoring looks back less than a day.
    silent = state.each("google_monitoring_alert_policy.silent")
    same("who is missed", sorted(silent), sorted(deployed) if setting["check_hours"] <= 8 else [])
    mail = [it["id"] for it in state.every("google_monitoring_notification_channel")]
    same("who is told", len(mail), 1 if setting["alert_email"] else 0)
    for it in state.every("google_monitoring_alert_policy"):
        same(it["display_name"], it["notification_channels"], mail)
    for kind, (key, most) in LIMITS.items():
        names = [(it.get("project"), it[key]) for it in state.every(kind)]
        same(f"{kind}: too long", [it for _, it in names if len(it) > most], [])
        same(f"{kind}: names that there are twice", len(names), len(set(names)))


def look(name, setting, said):
    state = State(said)
    try:
        made = state.every("google_project_iam_custom_role")
        same("custom roles", {f"{it['project']}/{it['role_id']}": it["permissions"] for it in made}, roles(setting))
        granted, due = state.granted(), set(grants(setting, state))
        same("rights too many", [it for it in granted if it not in due], [])
        same("rights too few", [it for it in due if it not in granted], [])
        look_at_services(setting, state)
        look_at_triggers(setting, state)
        look_at_the_rest(setting, state)
    except SystemExit as wrong:
        sys.exit(f"infra/gcp with the setting {name}: {wrong}")
