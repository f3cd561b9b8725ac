"""Finds one image among ten thousand pods of a real API server, with kubectl and jq and with k8s-locate."""

import base64
import concurrent.futures
import http.client
import json
import os
import pathlib
import platform
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
PODS, NODES, EVERY = 10_000, 200, 100
IMAGE = "registry.example.com/shop/web"
# The guides' pipeline: every pod as JSON, filtered by image in containers of every role.
JQ = (
    '[.items[] | select(any(.spec.containers[], (.spec.initContainers // [])[], (.spec.ephemeralContainers // [])[]; '
    f'.image | startswith("{IMAGE}"))) | {{namespace: .metadata.namespace, name: .metadata.name, uid: .metadata.uid, '
    "node: .spec.nodeName, account: .spec.serviceAccountName}] | length"
)


def main():
    control_plane, binary = sys.argv[1], str(pathlib.Path(sys.argv[2]).resolve())
    profile, rounds = sys.argv[3], int(sys.argv[4])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        kubeconfig = folder / "kubeconfig"
        server = subprocess.Popen(
            [control_plane, "--dir", str(folder / "cluster"), "--kubeconfig", str(kubeconfig), "--die-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            if "server" not in json.loads(server.stdout.readline() or "{}"):
                sys.exit("bench: the control plane did not start")
            fill(Api(kubeconfig, folder))
            runs = measure(binary, kubeconfig, folder, rounds)
        finally:
            server.stdin.close()
            server.wait(timeout=60)
    write(runs, rounds, profile)


class Api:
    """The administrator, over one connection a thread."""

    def __init__(self, kubeconfig, folder):
        shown = subprocess.run(
            ["kubectl", "--kubeconfig", str(kubeconfig), "config", "view", "--raw", "-o", "json"],
            capture_output=True, text=True, check=True,
        )
        config = json.loads(shown.stdout)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server = urllib.parse.urlparse(cluster["server"])
        pem = folder / "user.pem"
        pem.write_bytes(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
        self.context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self.context.load_cert_chain(pem)
        self.threads = threading.local()

    def ask(self, method, path, body=None):
        if not hasattr(self.threads, "connection"):
            self.threads.connection = http.client.HTTPSConnection(self.server.hostname, self.server.port, context=self.context)
        connection = self.threads.connection
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            sys.exit(f"bench: {method} {path}: {answer.status} {text[:500]}")
        return json.loads(text)


def fill(api):
    api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "bench"}})
    for number in range(NODES):
        provider = f"gce://acme-prod/europe-west1-b/node-{number}"
        api.ask("POST", "/api/v1/nodes", {"metadata": {"name": f"node-{number}"}, "spec": {"providerID": provider}})
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if api.ask("GET", "/api/v1/namespaces/bench/serviceaccounts")["items"]:
            break
        time.sleep(0.1)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: api.ask("POST", "/api/v1/namespaces/bench/pods", pod(number)), range(PODS)))
    until = time.monotonic() + 300
    while time.monotonic() < until:
        pending = "/api/v1/pods?fieldSelector=status.phase%3DPending&limit=1"
        if not api.ask("GET", pending)["items"]:
            return
        time.sleep(0.5)
    sys.exit("bench: the pods do not run")


def pod(number):
    image = f"{IMAGE}:1.14.2" if number % EVERY == 0 else "registry.example.com/shop/other:7.0.1"
    env = [{"name": f"SETTING_{at}", "value": f"value-{at}"} for at in range(12)]
    return {
        "metadata": {
            "name": f"pod-{number}",
            "labels": {"app": "shop", "tier": "web", "pod-template-hash": "6d4cf56db6"},
            "annotations": {"prometheus.io/scrape": "true", "checksum/config": "0" * 64},
        },
        "spec": {
            "nodeName": f"node-{number % NODES}",
            "containers": [{"name": "main", "image": image, "env": env, "resources": {"requests": {"cpu": "10m"}}}],
        },
    }


def timed(commands, environment):
    """Runs a pipeline; its seconds, what it printed, and the sum of its processes' peaks in MiB."""
    begun = time.monotonic()
    running, given = [], None
    for command in commands:
        process = subprocess.Popen(command, env=environment, stdin=given, stdout=subprocess.PIPE)
        if given:
            given.close()
        running.append(process)
        given = process.stdout
    printed = given.read()
    peak = 0
    for process in running:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"bench: {process.args[0]}: {process.returncode} {printed[-2000:]}")
        peak += usage.ru_maxrss / 1024
    return time.monotonic() - begun, printed, peak


def measure(binary, kubeconfig, folder, rounds):
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "STANCH_LEDGER": f"sqlite:{folder / 'ledger.db'}"}

    def theirs():
        took, printed, peak = timed([["kubectl", "get", "pods", "-A", "-o", "json"], ["jq", JQ]], environment)
        return took, peak, int(printed)

    def ours():
        took, printed, peak = timed([[binary, "plan", "--incident", "bench", "--image", IMAGE, "--json"]], environment)
        found = json.loads(printed)["found"]
        if not all(one["details"]["instance"].startswith("gce://") for one in found):
            sys.exit("bench: a pod without its instance")
        return took, peak, len(found)

    contenders = {"kubectl get pods -A -o json \\| jq": theirs, "k8s-locate": ours}
    runs = {name: [] for name in contenders}
    for contender in contenders.values():
        contender()
    for _ in range(rounds):
        for name, contender in contenders.items():
            took, peak, found = contender()
            if found != PODS // EVERY:
                sys.exit(f"bench: {name} found {found} pods")
            runs[name].append((took, peak))
    return runs


def write(runs, rounds, profile):
    median = {name: [statistics.median(column) for column in zip(*took)] for name, took in runs.items()}
    theirs = next(iter(median.values()))
    version = json.loads(subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, text=True).stdout)
    lines = [
        "# k8s-locate beside kubectl and jq",
        "",
        f"Written by `tests/bench/locate`: one image, in {PODS // EVERY} of {PODS:,} pods on {NODES} nodes, on one real "
        f"kube-apiserver; {rounds} runs each, in turns, from the start of the process to its end, medians; memory is the "
        "sum of the processes' peaks. k8s-locate also says which cloud instance each pod is on. "
        f"{platform.machine()}, {os.cpu_count()} cores, kubectl {version['clientVersion']['gitVersion']}; ours is the "
        f"{profile} build.",
        "",
        "| | seconds | | MiB | | target |",
        "|---|---|---|---|---|---|",
    ]
    for name, (took, peak) in median.items():
        ours = name == "k8s-locate"
        faster = f"{theirs[0] / took:.1f} ×" if ours else ""
        smaller = f"1/{theirs[1] / peak:.1f}" if ours else ""
        lines.append(f"| `{name}` | {took:.2f} | {faster} | {peak:.0f} | {smaller} | {'≥ 5 ×, ≤ 1/5' if ours else ''} |")
    text = "\n".join(lines) + "\n"
    (HERE / "LOCATE.md").write_text(text)
    print(text)


main()
