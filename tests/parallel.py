"""Runs the workspace's test programs several at a time: most of their time is waiting for clouds.

    cargo test --workspace --no-run --message-format=json | python3 tests/parallel.py [AT_ONCE]
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time

# The longest, to be begun first: nothing else is left to run beside one that is begun last.
LONGEST = ["tests: contract", "deploy: deploy", "k8s-drain-node: it", "k8s-enforce-policy: it", "runtime: hosts"]
# No program needs as long; one that hangs must not take the time of all others.
MOST_SECONDS = 40 * 60


def programs(lines):
    for line in lines:
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable") and message["profile"]["test"]:
            folder = pathlib.Path(message["manifest_path"]).parent
            yield f"{folder.name}: {message['target']['name']}", message["executable"], folder


def run(program):
    name, executable, folder = program
    started = time.monotonic()
    # Twice as many tests as cores, for the same reason.
    environment = {"RUST_TEST_THREADS": "4", "CARGO_MANIFEST_DIR": str(folder), **os.environ}
    try:
        done = subprocess.run(
            [executable], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=MOST_SECONDS,
        )
        code, said = done.returncode, done.stdout
    except subprocess.TimeoutExpired as ended:
        code, said = 1, f"{(ended.stdout or b'').decode(errors='replace')}\nit did not end\n"
    return name, code, said, time.monotonic() - started


def main():
    at_once = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    found = sorted(programs(sys.stdin), key=lambda it: LONGEST.index(it[0]) if it[0] in LONGEST else len(LONGEST))
    if not found:
        sys.exit("parallel: there are no test programs: the build has failed")
    failed = []
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for running in concurrent.futures.as_completed([pool.submit(run, program) for program in found]):
            name, code, said, seconds = running.result()
            skipped = [line for line in said.splitlines() if line.startswith("skipped: ")]
            print("\n".join(skipped), end="\n" if skipped else "")
            if code == 0:
                print(f"ok      {name} ({seconds:.0f} s)", flush=True)
            else:
                failed.append(name)
                print(f"FAILED  {name} ({seconds:.0f} s)\n{said}", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    print(f"{len(found)} test programs passed")


if __name__ == "__main__":
    main()
