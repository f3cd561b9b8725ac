"""Runs one incident on each wing, on the range, through the triggers that production uses, and shows what happens.

Started by ./quickstart. What it says about the clouds is read from the clouds' own APIs, not from our reports."""

import argparse
import atexit
import base64
import datetime
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TTY = sys.stdout.isatty() and "NO_COLOR" not in os.environ
children = []


def colour(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if TTY else text


def title(text):
    print("\n" + colour("1;36", f"━━ {text} " + "━" * max(0, 76 - len(text))))


def say(label, text):
    print(f"  {colour('2', f'{label:<11}')} {text}")


def fail(text):
    print(colour("1;31", f"quickstart: {text}"), file=sys.stderr)
    sys.exit(1)


def expect(what, got, wanted):
    if got != wanted:
        fail(f"{what}: expected {wanted!r}, got {got!r}")


def stop_children():
    for child in reversed(children):
        if child.poll() is None:
            child.terminate()
    for child in children:
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def report_of(answer):
    return answer[0] if isinstance(answer, list) else answer


def show_plan(report):
    expect("plan", report["status"], "planned")
    say("plan", f"{len(report['changes'])} change(s), undone: {undo_of(report)}")
    for change in report["changes"]:
        say("", colour("33", change["command"]))


def undo_of(report):
    kept = "as evidence, never" if "snapshot" in report["responder"] else "each to what it was"
    return kept


def show_applied(report, ms):
    expect("first delivery", report["status"], "applied")
    say("applied", f"{ms:.0f} ms from delivery to answer, record {report['record']}")
    for change in report["changes"]:
        ids = f" → {', '.join(change['ids'])}" if change["ids"] else ""
        say("", f"{change['state']:<8} {change['ms']:>4} ms  {change['what']}{ids}")
    for left in report["remaining"][:3]:
        say("remaining", left["what"])


def show_again(report):
    expect("redelivery", report["status"], "already")
    say("redelivery", f"{colour('32', 'already')} (same record {report['record']}, nothing was written)")


def run(arguments, environment, stdin=None):
    done = subprocess.run(arguments, env=environment, input=stdin, capture_output=True, text=True)
    if done.returncode not in (0, 3) or not done.stdout.strip():
        fail(f"{' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def plan(binary, event, environment):
    return report_of(run([binary, "plan", "--event", "-", "--json"], environment, json.dumps(event)))


def get(url, headers=None):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
        return json.load(answer)


def post(url, body, headers=None):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})
    started = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None, (time.monotonic() - started) * 1000
    except urllib.error.HTTPError as error:
        fail(f"POST {url}: {error.code} {error.read().decode()}")


def serve(binary, environment):
    """Starts a responder as an HTTP service, as Cloud Run would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = open(pathlib.Path(environment["QUICKSTART_LOGS"]) / f"{pathlib.Path(binary).name}.log", "w")
    children.append(subprocess.Popen([binary], env={**environment, "PORT": str(port)}, stdout=log, stderr=log))
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
                return f"http://127.0.0.1:{port}/"
        except OSError:
            time.sleep(0.05)
    fail(f"{binary} does not answer; see {log.name}")


def start_range(binary, keep, folder):
    env_file = folder / "range.env"
    arguments = [binary, "up", "--env-file", str(env_file)]
    for wing in ("aws", "gcp", "k8s"):
        arguments += ["--seed", wing]
    log = open(folder / "range.log", "w")
    if keep:
        up = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=None, start_new_session=True)
    else:
        up = subprocess.Popen([*arguments, "--die-with-stdin"], stdin=subprocess.PIPE, stdout=log)
        children.append(up)
    print("Starting the range (the first time it installs moto; about a minute).")
    while not env_file.exists():
        if up.poll() is not None:
            fail(f"the range did not start; see {log.name}")
        time.sleep(0.1)
    lines = [line.removeprefix("export ").strip() for line in env_file.read_text().splitlines()]
    return up, env_file, {name: value.strip("'") for name, value in (line.split("=", 1) for line in lines)}


def aws(binaries, environment):
    title("AWS: a GuardDuty finding, through the Lambda Runtime API → aws-snapshot-volumes")
    binary = binaries / "aws-snapshot-volumes"
    event = json.loads((ROOT / "functions/aws-snapshot-volumes/event.json").read_text())
    instance, account = environment["RANGE_EC2_INSTANCE"], environment["RANGE_AWS_ACCOUNT"]
    text = json.dumps(event).replace(event["detail"]["resource"]["instanceDetails"]["instanceId"], instance)
    event = json.loads(text.replace(event["account"], account))
    event["region"] = event["detail"]["region"] = environment["AWS_REGION"]
    event["detail"]["arn"] = ":".join(
        [*event["detail"]["arn"].split(":")[:3], environment["AWS_REGION"], *event["detail"]["arn"].split(":")[4:]]
    )
    event["detail"]["service"]["eventLastSeen"] = event["time"] = now()
    say("alert", f"{event['detail']['type']}, severity {event['detail']['severity']}, names {instance}")

    environment = {**environment, "STANCH_LEDGER": "dynamodb:stanch-ledger"}
    show_plan(plan(binary, event, environment))
    arguments = [binaries / "range", "invoke", "--binary", binary, "--event", "-", "--times", "2"]
    for name in environment:
        if name.startswith("AWS_") or name == "STANCH_LEDGER":
            arguments += ["--inherit", name]
    arguments += ["--env", "STANCH_MODE=enforce"]
    done = subprocess.run(arguments, env=environment, input=json.dumps(event), capture_output=True, text=True)
    if done.returncode:
        fail(f"the invocation failed:\n{done.stdout}{done.stderr}")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    show_applied(report_of(first["answer"]), first["ms"])
    say("", f"the function was ready {first['ready_ms']:.1f} ms after its process started")
    show_again(report_of(second["answer"]))

    script = (
        "import boto3, json\n"
        "found = boto3.client('ec2').describe_snapshots(OwnerIds=['self'])['Snapshots']\n"
        "print(json.dumps([[s['SnapshotId'], s['VolumeId'], {t['Key']: t['Value'] for t in s.get('Tags', [])}] for s in found"
        " if any(t['Key'] == 'stanch:record' for t in s.get('Tags', []))]))"
    )
    python = subprocess.run([binaries / "range", "venv"], capture_output=True, text=True, check=True).stdout.strip()
    found = json.loads(subprocess.run([python, "-c", script], env=environment, capture_output=True, text=True, check=True).stdout)
    for snapshot, volume, tags in found:
        say("EC2 says", f"{snapshot} of {volume}, stanch:incident={tags['stanch:incident']}")
    expect("snapshots in EC2", len(found), 3)
    return f"3 volumes of {instance} snapshot as one set", first["ms"]


def gcp(binaries, environment):
    title("Google Cloud: a Cloud Logging alert, through Pub/Sub push → gcp-snapshot-disks")
    binary = binaries / "gcp-snapshot-disks"
    entry = json.loads((ROOT / "functions/gcp-snapshot-disks/event.json").read_text())
    entry["resource"]["labels"]["instance_id"] = environment["RANGE_GCE_INSTANCE_ID"]
    entry["timestamp"] = entry["receiveTimestamp"] = now()
    say("alert", f"{entry['protoPayload']['methodName']} by {entry['protoPayload']['authenticationInfo']['principalEmail']}")
    guard = json.dumps({"projects": ["acme-prod"]})
    environment = {**environment, "STANCH_GUARD": guard, "STANCH_LEDGER": f"sqlite:{environment['QUICKSTART_LOGS']}/gcp.db"}
    show_plan(plan(binary, entry, environment))
    url = serve(binary, {**environment, "STANCH_MODE": "enforce"})
    push = {
        "message": {
            "data": base64.b64encode(json.dumps(entry).encode()).decode(),
            "messageId": "1",
            "message_id": "1",
            "publishTime": now(),
        },
        "subscription": "projects/acme-prod/subscriptions/stanch",
    }
    _, answer, ms = post(url, push)
    show_applied(report_of(answer), ms)
    _, answer, _ = post(url, push)
    show_again(report_of(answer))
    snapshots = get(f"{environment['STANCH_GCE_ENDPOINT']}/compute/v1/projects/acme-prod/global/snapshots").get("items", [])
    for snapshot in snapshots:
        say("GCE says", f"{snapshot['name']} of {snapshot['sourceDisk'].rsplit('/', 1)[-1]}, {snapshot['status']}")
    expect("snapshots in Compute Engine", len(snapshots), 3)
    return "3 disks of web-1 snapshot (one of them regional)", ms


def k8s(binaries, environment):
    title("Kubernetes: a Falco alert, as a CloudEvent over HTTP → k8s-cordon-node")
    binary = binaries / "k8s-cordon-node"
    alert = json.loads((ROOT / "functions/k8s-cordon-node/event.json").read_text())
    alert["time"] = now()
    alert["hostname"] = "node-b"
    fields = alert["output_fields"]
    fields.pop("evt.time", None)
    fields.pop("k8s.pod.uid", None)
    fields["k8s.ns.name"], fields["k8s.pod.name"] = "default", "web-6d4cf56db6-9vqnl"
    say("alert", f"{alert['rule']}, in default/{fields['k8s.pod.name']}")
    environment = {
        **environment,
        "STANCH_CLUSTER": "context:range",
        "STANCH_LEDGER": f"sqlite:{environment['QUICKSTART_LOGS']}/k8s.db",
    }
    show_plan(plan(binary, alert, environment))
    url = serve(binary, {**environment, "STANCH_MODE": "enforce"})
    headers = {
        "Ce-Specversion": "1.0",
        "Ce-Id": "quickstart-1",
        "Ce-Source": "https://falco.org",
        "Ce-Type": "falco.rule.output.v1",
    }
    _, answer, ms = post(url, alert, headers)
    report = report_of(answer)
    show_applied(report, ms)
    node = lambda: get(f"{kube_url(environment)}/api/v1/nodes/node-b", {"Authorization": f"Bearer {kube_token(environment)}"})
    cordoned = node()
    taints = [taint["key"] for taint in cordoned["spec"].get("taints", [])]
    say("API says", f"node-b: unschedulable={cordoned['spec'].get('unschedulable')}, taints={', '.join(taints)}")
    expect("the node is cordoned", cordoned["spec"].get("unschedulable"), True)
    _, answer, _ = post(url, alert, {**headers, "Ce-Id": "quickstart-2"})
    show_again(report_of(answer))

    order = report["undo"]
    arguments = [binary, "revert", "--incident", order["incident"], "--target", json.dumps(order["target"]), "--json"]
    back = report_of(run(arguments, environment))
    expect("revert", back["status"], "reverted")
    free = node()
    taints = [taint["key"] for taint in free["spec"].get("taints", [])]
    say("reverted", f"by a person, with the order from the report: {len(back['changes'])} changes undone")
    say("API says", f"node-b: unschedulable={free['spec'].get('unschedulable', False)}, taints={', '.join(taints) or 'none'}")
    expect("the node is free", (free["spec"].get("unschedulable", False), taints), (False, []))
    return "node-b cordoned and tainted, then reverted", ms


def kube_config(environment):
    return json.loads(pathlib.Path(environment["KUBECONFIG"]).read_text())


def kube_url(environment):
    return kube_config(environment)["clusters"][0]["cluster"]["server"]


def kube_token(environment):
    return kube_config(environment)["users"][0]["user"]["token"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    binaries = given.bin.resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="stanch-quickstart-"))
    atexit.register(stop_children)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    up, env_file, variables = start_range(binaries / "range", given.keep, folder)
    # Nothing of this machine's own cloud settings: the range is all there is.
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "STANCH_", "CLOUDSDK_", "GOOGLE_", "KUBE"))
    }
    environment = {
        **clean,
        **variables,
        "STANCH_CACHE": os.environ["STANCH_CACHE"],
        "QUICKSTART_LOGS": str(folder),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    rows = []
    for name, wing in (("AWS", aws), ("Google Cloud", gcp), ("Kubernetes", k8s)):
        rows.append((name, *wing(binaries, environment)))

    title("Summary")
    for name, what, ms in rows:
        print(f"  {colour('32', '✓')} {name:<13} {what:<52} {ms:>6.0f} ms")
    print("\n  Every change was planned, written to the ledger, applied, looked at again; each redelivery wrote nothing.")
    print("  Next: README.md (configuration, safety model), functions/*/event.json (the events that were sent).")
    if given.keep:
        print(f"\n  The range goes on. In a shell:  . {env_file}")
        print(f"  Then for example:                {binaries}/k8s-cordon-node plan --cluster context:range --name node-c")
        print(f"  Stop it with:                    kill {up.pid}")


main()
