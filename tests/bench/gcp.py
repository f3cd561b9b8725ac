"""Isolates an instance and snapshots its disks, by gcloud and by the responders, in turns on one simulator."""

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
AT = ["--project=acme-prod", "--zone=europe-west1-b"]
GUARD = json.dumps({"projects": ["acme-prod"], "limits": {
    name: {"per_ten_minutes": 10000, "per_day": 10000} for name in ["gcp-isolate-instance", "gcp-snapshot-disks"]}})


def range_up(binary, folder):
    env_file = folder / "env"
    up = subprocess.Popen(
        [binary, "up", "--only", "gcp", "--seed", "gcp", "--env-file", str(env_file), "--die-with-stdin"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in up.stdout:
        if line.strip() == "ready":
            break
    else:
        sys.exit("bench: the range did not start")
    lines = [line.removeprefix("export ").strip() for line in env_file.read_text().splitlines()]
    return up, {name: value.strip("'") for name, value in (line.split("=", 1) for line in lines)}


def run(commands, environment):
    started = time.perf_counter()
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"bench: {' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return (time.perf_counter() - started) * 1000, done.stdout


def by_gcloud(commands, environment):
    return run(commands, environment)[0]


def by_us(command, environment, status):
    """An order that had nothing to do would be fast, and exits as well as one that did."""
    taken, said = run([[*command, "--json"]], environment)
    if json.loads(said)["status"] != status:
        sys.exit(f"bench: {' '.join(command)}: not {status}: {said[-2000:]}")
    return taken


def rules(verb, names):
    rest = {"egress": ["--action=deny", "--direction=egress", "--rules=tcp", "--destination-ranges=0.0.0.0/0", "--priority=0"],
            "ingress": ["--action=deny", "--direction=ingress", "--rules=tcp", "--source-ranges=0.0.0.0/0", "--priority=1"]}
    for way, name in names.items():
        base = ["gcloud", "compute", "firewall-rules", verb, name, "--project=acme-prod"]
        yield base + (["--network=default", *rest[way], "--target-tags=quarantine"] if verb == "create" else ["--quiet"])


def main():
    binaries, range_binary, rounds = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        up, range_env = range_up(range_binary, folder)
        base = {**os.environ, **range_env, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        gcloud = {**base, "CLOUDSDK_CONFIG": str(folder / "gcloud"), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
                  "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true"}
        taken = {key: [] for key in ["isolate ours", "isolate gcloud", "snapshot ours", "snapshot gcloud"]}
        names = {"egress": "quarantine-egress-deny", "ingress": "quarantine-ingress-deny"}
        run([["gcloud", "version"]], gcloud)
        for number in range(rounds):
            ours = {**base, "STANCH_LEDGER": f"sqlite:{folder}/ledger-{number}.db", "STANCH_GUARD": GUARD}
            order = ["--incident", f"inc-{number}", *AT, "--name=web-1"]
            isolate, snapshot = (str(binaries / name) for name in ["gcp-isolate-instance", "gcp-snapshot-disks"])
            taken["isolate ours"].append(by_us([isolate, "apply", *order], ours, "applied"))
            by_us([isolate, "revert", *order], ours, "reverted")
            taken["snapshot ours"].append(by_us([snapshot, "apply", *order], ours, "applied"))
            # gcloud is slow enough for a third of the rounds.
            if number % 3:
                continue
            tag = ["gcloud", "compute", "instances", "add-tags", "web-1", *AT, "--tags=quarantine"]
            taken["isolate gcloud"].append(by_gcloud([tag, *rules("create", names)], gcloud))
            tag[3] = "remove-tags"
            run([tag, *rules("delete", names)], gcloud)
            zonal = ["gcloud", "compute", "disks", "snapshot", "web-1", "web-1-data", *AT, "--async",
                     f"--snapshot-names=a-{number},b-{number}"]
            regional = ["gcloud", "compute", "disks", "snapshot", "web-shared", "--project=acme-prod",
                        "--region=europe-west1", "--async", f"--snapshot-names=c-{number}"]
            taken["snapshot gcloud"].append(by_gcloud([zonal, regional], gcloud))
        up.stdin.close()
        up.wait()
    median = {key: statistics.median(values) for key, values in taken.items()}
    version = subprocess.run(["gcloud", "version"], capture_output=True, text=True).stdout.splitlines()[0]
    lines = [
        "# gcp-isolate-instance and gcp-snapshot-disks beside gcloud", "",
        f"Written by `tests/bench/run-gcp`: {rounds} runs of ours and {len(taken['isolate gcloud'])} of gcloud, in turns, on "
        f"one simulator whose operations take 45 ms; medians. {platform.machine()}, {os.cpu_count()} cores, {version}. Each run "
        "is a new process with a new ledger, and does everything: guard, ledger, plan, writes, verification.", "",
        "| | Stanch | gcloud | ratio | target |", "|---|---|---|---|---|",
    ]
    notes = {"isolate": "isolate: tag and rules (ours: four rules, gcloud: the two of the guide)",
             "snapshot": "snapshot of three disks, one regional, accepted"}
    for what, note in notes.items():
        ours, theirs = median[f"{what} ours"], median[f"{what} gcloud"]
        lines.append(f"| {note} | {ours:.0f} ms | {theirs:.0f} ms | {theirs / ours:.1f} × | ≥ 20 × |")
    if binaries.name == "dist":
        lines += ["", "| binary, as shipped (`dist`) | size | target |", "|---|---|---|"]
        for name in sorted(["gcp-isolate-instance", "gcp-snapshot-disks"]):
            lines.append(f"| `{name}` | {(binaries / name).stat().st_size / 1e6:.1f} MB | ≤ 14 MB |")
    else:
        lines += ["", f"Measured with the `{binaries.name}` build, which is slower than what is shipped."]
    text = "\n".join(lines) + "\n"
    (HERE / "RESULTS-gcp.md").write_text(text)
    print(text)


main()
