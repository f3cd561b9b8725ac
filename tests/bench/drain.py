"""Drains one node after the other of a real API server, with kubectl and with k8s-drain-node, and reports medians."""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PODS, TERMINATION_MS = 100, 1000


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
            runs = measure(binary, kubeconfig, folder, rounds)
        finally:
            server.stdin.close()
            server.wait(timeout=30)
    write(runs, rounds, profile)


def kubectl(kubeconfig, *arguments, given=None):
    command = ["kubectl", "--kubeconfig", str(kubeconfig), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done.stdout


def measure(binary, kubeconfig, folder, rounds):
    kubectl(kubeconfig, "create", "namespace", "bench")
    kubectl(kubeconfig, "-n", "bench", "create", "configmap", "owner")
    owner = json.loads(kubectl(kubeconfig, "-n", "bench", "get", "configmap", "owner", "-o", "json"))["metadata"]["uid"]
    limits = json.dumps({"limits": {"k8s-drain-node": {"per_ten_minutes": 9999, "per_day": 9999}}})
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "STANCH_LEDGER": f"sqlite:{folder / 'ledger.db'}",
        "STANCH_GUARD": limits,
    }

    def theirs(node):
        kubectl(kubeconfig, "drain", node, "--ignore-daemonsets")

    def drain(node, *options):
        command = [binary, "apply", "--incident", f"bench-{node}", "--name", node, *options, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        report = json.loads(done.stdout)
        if report["status"] != "applied":
            sys.exit(f"bench: {json.dumps(report)[:2000]}")

    contenders = {
        "kubectl drain": theirs,
        "k8s-drain-node": drain,
        "k8s-drain-node, per_second=50": lambda node: drain(node, "--set", "per_second=50"),
    }
    runs = {name: [] for name in contenders}
    for number in range(rounds):
        for index, (name, contender) in enumerate(contenders.items()):
            node = f"node-{number}-{index}"
            fill(kubeconfig, node, owner)
            begun = time.monotonic()
            contender(node)
            runs[name].append(time.monotonic() - begun)
            left = json.loads(kubectl(kubeconfig, "-n", "bench", "get", "pods", "-o", "json"))["items"]
            if left:
                sys.exit(f"bench: {name} left {len(left)} pods")
    return runs


def fill(kubeconfig, node, owner):
    by = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner, "controller": True}
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{node}-{number}",
                "namespace": "bench",
                "ownerReferences": [by],
                "annotations": {"stanch.dev/test-termination-ms": str(TERMINATION_MS)},
            },
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "example.com/app:1"}]},
        }
        for number in range(PODS)
    ]
    objects = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}, *pods]
    given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl(kubeconfig, "create", "-f", "-", given=given)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = json.loads(kubectl(kubeconfig, "-n", "bench", "get", "pods", "-o", "json"))["items"]
        if sum(pod["status"].get("phase") == "Running" for pod in found) == PODS:
            return
        time.sleep(0.5)
    sys.exit("bench: the pods do not run")


def write(runs, rounds, profile):
    theirs = statistics.median(runs["kubectl drain"])
    version = json.loads(subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, text=True).stdout)
    lines = [
        "# k8s-drain-node beside kubectl drain",
        "",
        f"Written by `tests/bench/drain`: {PODS} pods whose termination takes {TERMINATION_MS / 1000:.0f} s, {rounds} nodes "
        "each, in turns, on one real kube-apiserver; from the start of the process to its end, medians. "
        f"{platform.machine()}, {os.cpu_count()} cores, kubectl {version['clientVersion']['gitVersion']}; ours is the "
        f"{profile} build, with its ledger in SQLite.",
        "",
        "| | seconds | least – most | | target |",
        "|---|---|---|---|---|",
    ]
    for name, took in runs.items():
        ours = statistics.median(took)
        ratio = "" if name == "kubectl drain" else f"{theirs / ours:.1f} ×"
        goal = "≤ 3 s, ≥ 7 ×" if name == "k8s-drain-node" else ""
        lines.append(f"| `{name}` | {ours:.2f} | {min(took):.2f} – {max(took):.2f} | {ratio} | {goal} |")
    text = "\n".join(lines) + "\n"
    (HERE / "DRAIN.md").write_text(text)
    print(text)


main()
