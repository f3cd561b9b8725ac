"""Starts each function as Lambda would, cold, with one event, in turns; reports medians."""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SEED = {"volumes": 3, "tags": {}}


def range_up(binary, folder):
    env_file = folder / "env"
    up = subprocess.Popen(
        [binary, "up", "--only", "aws", "--seed", "aws", "--env-file", str(env_file), "--die-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for line in up.stdout:
        if line.strip() == "ready":
            break
    else:
        sys.exit("bench: the range did not start")
    lines = [line.removeprefix("export ").strip() for line in env_file.read_text().splitlines()]
    return up, {name: value.strip("'") for name, value in (line.split("=", 1) for line in lines)}


def event_for(instance, account, number):
    event = json.loads((ROOT / "functions/aws-snapshot-volumes/event.json").read_text())
    text = json.dumps(event).replace(event["detail"]["resource"]["instanceDetails"]["instanceId"], instance)
    event = json.loads(text.replace(event["account"], account).replace(event["region"], "eu-central-1"))
    event["detail"]["id"] = f"{number:032x}"
    event["detail"]["arn"] = event["detail"]["arn"].rsplit("/", 1)[0] + "/" + event["detail"]["id"]
    now = subprocess.run(["date", "-u", "+%Y-%m-%dT%H:%M:%SZ"], capture_output=True, text=True, check=True).stdout.strip()
    event["detail"]["service"]["eventLastSeen"] = now
    return event


def new_ledger(python, environment):
    """An empty table: moto copies the whole of it for each transaction, which DynamoDB does not."""
    script = (
        "import boto3\n"
        "tables = boto3.client('dynamodb')\n"
        "if 'stanch-ledger' in tables.list_tables()['TableNames']:\n"
        "    tables.delete_table(TableName='stanch-ledger')\n"
        "tables.create_table(TableName='stanch-ledger', BillingMode='PAY_PER_REQUEST',\n"
        "    KeySchema=[{'AttributeName': 'key', 'KeyType': 'HASH'}],\n"
        "    AttributeDefinitions=[{'AttributeName': 'key', 'AttributeType': 'S'}])\n"
    )
    done = subprocess.run([python, "-c", script], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: no ledger: {done.stderr}")


def new_instance(python, environment):
    script = (ROOT / "tests/range/src/moto/seed_instance.py").read_text()
    given = {**environment, "RANGE_INPUT": json.dumps(SEED)}
    done = subprocess.run([python, "-c", script], env=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench: no instance: {done.stderr}")
    return json.loads(done.stdout)["id"]


def cold(range_binary, arguments, variables, event, environment):
    command = [range_binary, "invoke", "--event", "-", "--timeout", "30", *arguments]
    for name, value in variables.items():
        command += ["--env", f"{name}={value}"]
    done = subprocess.run(command, input=json.dumps(event), env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench: {arguments}: {done.stdout}{done.stderr}")
    line = json.loads(done.stdout)
    answer = line["answer"]
    report = answer[0] if isinstance(answer, list) else answer
    if report.get("status") != "applied":
        sys.exit(f"bench: {arguments}: {json.dumps(report)[:2000]}")
    return {
        "ready": line["ready_ms"],
        "first": line["ms"],
        "answer": line["ready_ms"] + line["ms"],
        "rss": line["peak_rss_kib"] / 1024,
    }


def main():
    target, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    range_binary = str(target / "debug/range")
    bench_venv = subprocess.run([range_binary, "venv", "bench"], capture_output=True, text=True, check=True).stdout.strip()
    range_venv = subprocess.run([range_binary, "venv"], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as name:
        up, aws = range_up(range_binary, pathlib.Path(name))
        try:
            environment = {**os.environ, **aws}
            account = aws["RANGE_AWS_ACCOUNT"]
            shared = {key: value for key, value in aws.items() if key.startswith("AWS_")}
            ours = {
                **shared,
                "STANCH_MODE": "enforce",
                "STANCH_LEDGER": "dynamodb:stanch-ledger",
                "STANCH_GUARD": json.dumps({"accounts": [account]}),
            }
            theirs = {**shared, "LEDGER_TABLE": "stanch-ledger", "PYTHONPATH": str(HERE), "PATH": os.environ["PATH"]}
            functions = {
                "Stanch": (["--binary", str(target / "dist/aws-snapshot-volumes")], ours),
                "Python": (
                    ["--binary", bench_venv, "--arg", "-m", "--arg", "awslambdaric", "--arg", "handler.handler"],
                    theirs,
                ),
            }
            runs = {name: [] for name in functions}
            for number in range(rounds + 1):
                for index, (name, (arguments, variables)) in enumerate(functions.items()):
                    new_ledger(range_venv, environment)
                    event = event_for(new_instance(range_venv, environment), account, number * 2 + index + 1)
                    measured = cold(range_binary, arguments, variables, event, environment)
                    if number:  # the first round warms the disk cache
                        runs[name].append(measured)
        finally:
            up.stdin.close()
            up.wait(timeout=30)

    median = lambda name, what: statistics.median(run[what] for run in runs[name])
    rows = [
        ("process start → first call to the Runtime API", "ready", "ms", "≤ 4, ≥ 50 ×"),
        ("first event → answer", "first", "ms", ""),
        ("process start → answer (cold start)", "answer", "ms", "≥ 10 ×"),
        ("peak memory (RSS)", "rss", "MiB", "≤ 15"),
    ]
    lines = [
        "# aws-snapshot-volumes beside the equal Python function",
        "",
        f"Written by `tests/bench/run`: {rounds} cold starts each, in turns, on one moto; medians. "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}. "
        "Each has an empty ledger. Both do the same calls: DescribeInstances; one read of record, brake and limits "
        "(BatchGetItem); the claim (TransactWriteItems over the same three); CreateSnapshots; DescribeSnapshots; a "
        "close (PutItem).",
        "",
        "| | Stanch | Python (`awslambdaric` + `boto3`) | ratio | target |",
        "|---|---|---|---|---|",
    ]
    for what, key, unit, goal in rows:
        ours, theirs = median("Stanch", key), median("Python", key)
        lines.append(f"| {what} | {ours:.1f} {unit} | {theirs:.1f} {unit} | {theirs / ours:.1f} × | {goal} |")
    lines += ["", "| binary, as shipped (`dist`) | size | target |", "|---|---|---|"]
    for name, goal in [("aws-snapshot-volumes", 10), ("gcp-snapshot-disks", 14), ("k8s-cordon-node", 14)]:
        size = (target / "dist" / name).stat().st_size / 1e6
        lines.append(f"| `{name}` | {size:.1f} MB | ≤ {goal} MB |")
    text = "\n".join(lines) + "\n"
    (HERE / "RESULTS.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
