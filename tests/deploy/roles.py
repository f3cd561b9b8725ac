"""The roles that Terraform made, at work: each function runs under its own role, with its own environment, as Lambda would
run it (`function.py`), while moto checks each call.

- What is attached is read back (`policies.py`), and is what the responder declares and what is around it, and no more.
- With that, plan and apply contain the target, and revert by the undo role brings it back, as boto3 finds it.
- With any single permission less, the responder is denied, names the permission, and the target is not contained (or
  not brought back).

moto knows actions only: a policy is flattened for it (every action on `*`, without conditions), the ones that the role
really has. Resources and conditions are proved over the same documents by a policy evaluator (`tests/contract`). What
the Lambda service uses of a role (`LOGS`, `QUEUE`) no responder calls: it is known by name and resource alone. What takes
a function to a member account or a cluster is tried by the check that its schedule asks for.
"""

import concurrent.futures
import os
import pathlib
import sys
import tempfile
import time
import traceback
import urllib.request

import boto3
from policies import LOGS, QUEUE, client
from function import Deployed, brief, invoke, said
from trials import TRIALS, policy

# moto has no locks of snapshots: `shared/aws` tries those on canned answers.
UNSERVED = ["ec2:DescribeLockedSnapshots", "ec2:LockSnapshot"]
# moto answers one call at a time; others can be between their calls.
AT_ONCE = 4


def contain(deployed, trial, without=None):
    target = trial.make(deployed)
    before = trial.state(target)
    assert not trial.contained(before), f"{trial.name}: it was contained before: {before}"
    return target, before, deployed.run("apply", target, trial.options, without=without)


def works(deployed, trial):
    """With what the role has, it contains; and undo brings back what was."""
    target, before, report = contain(deployed, trial)
    assert report.get("status") == "applied", f"{trial.name}: {brief(report)}"
    state = trial.state(target)
    assert trial.contained(state), f"{trial.name}: applied, but {state}"
    if deployed.undoer:
        report = deployed.type_in("revert", target)
        assert report.get("status") == "reverted", f"{trial.name}: {brief(report)}"
        state = trial.state(target)
        assert state == trial.restored(before), f"{trial.name}: reverted, but {state}\nwas {before}"
    trial.clean(target)


def reads(action):
    return action.split(":")[1].startswith(("BatchGet", "Describe", "Get", "List"))


def fails(deployed, trial, action):
    """Without one permission of the function: whether it is denied, says so, and does not contain (or contains without
    claiming it, where all that it could not do is look)."""
    target, _, report = contain(deployed, trial, without=action)
    state = trial.state(target)
    trial.clean(target)
    return denied(report, action) and (reads(action) or not trial.contained(state)), (report, state)


def fails_to_undo(deployed, trial, action):
    """Without one permission of the undo role, which plans and reverts: the same of bringing back; or a plan is denied."""
    if reads(action):
        target = trial.make(deployed)
        report = deployed.type_in("plan", target, trial.options, without=action)
        trial.clean(target)
        if denied(report, action):
            return True, None
    target, before, report = contain(deployed, trial)
    assert report.get("status") == "applied", f"{trial.name}: {brief(report)}"
    report = deployed.type_in("revert", target, without=action)
    state = trial.state(target)
    trial.clean(target)
    return denied(report, action) and (reads(action) or state != trial.restored(before)), (report, state)


def denied(report, action):
    text = said(report)
    kind = report.get("error") or report.get("errorType")
    return report.get("status") not in ("applied", "reverted", "already", "planned") and str(kind).lower() == "denied" and (
        f"{action} is not allowed" in text or f"perform: {action} " in text)


def prove_orders(deployed):
    """Of an AWS responder: by orders, and what it needs to reach another account by the check of its schedule."""
    trials, problems, tried = TRIALS[deployed.name], *prove_check(deployed, "green", ["sts:AssumeRole"])
    for trial in trials:
        works(deployed, trial)
    for role, fail in ((deployed.role, fails), (deployed.undoer, fails_to_undo)):
        for action in role.all() if role else []:
            if action in [*LOGS, *QUEUE, *UNSERVED, "sts:AssumeRole"]:
                continue
            missed = []
            for trial in sorted(trials, key=lambda it: it.first != action):
                failed, seen = fail(deployed, trial, action)
                if failed:
                    missed = []
                    break
                missed.append(f"{trial.name}: {brief(seen[0])}; {str(seen[1])[:600]}")
            tried += 1
            if missed:
                problems.append(f"{deployed.name}: {role.name} without {action}: {missed}")
    return tried, problems


def prove_cluster(deployed):
    """Of a Kubernetes responder: moto's cluster has no API server, so that with all rights it comes as far as that. (A
    condition on an item is no part of a check; the ledger's statement is the one that is tried above.)"""
    problems, tried = prove_check(deployed, "red", ["eks:DescribeCluster", "dynamodb:BatchGetItem", "dynamodb:PutItem"])
    return tried, problems


def prove_check(deployed, status, needed):
    """What the scheduled check answers, with all rights and without one."""
    def check(without=None):
        deployed.role.have(without)
        answer = invoke(deployed.program, deployed.environment(deployed.role.session), {"mode": "check"})
        return answer["status"], [it["detail"] for scope in answer["scopes"] for it in scope["checks"] if not it["ok"]]
    found, missing = check()
    assert found == status and all("no answer from the API server" in it for it in missing), missing
    problems = []
    for action in needed:
        found, missing = check(without=action)
        if found != "red" or not any(f"{action} is not allowed" in it or f"permission: {action}" in it for it in missing):
            problems.append(f"{deployed.name}: the check without {action}: {found} {missing}")
    return problems, len(needed)


def guarded(deployed):
    started, prove = time.monotonic(), prove_orders if deployed.name in TRIALS else prove_cluster
    try:
        return deployed.name, *prove(deployed), time.monotonic() - started
    except Exception:
        return deployed.name, 0, [f"{deployed.name}: {traceback.format_exc()}"], 0


def enforce(free):
    url = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    plain = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(url, data=free.encode(), headers=plain, method="POST")).close()


def prove(known, binary):
    iam = client("iam")
    iam.create_user(UserName="range")
    iam.put_user_policy(UserName="range", PolicyName="all", PolicyDocument=policy({"Effect": "Allow", "Action": "*", "Resource": "*"}))
    key = iam.create_access_key(UserName="range")["AccessKey"]
    ours = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        for name in known:
            (folder / name).symlink_to(binary)
        deployed = {name: Deployed(name, it, folder) for name, it in known.items()}
        end = deployed["aws-terminate-instance"]
        end.siblings = [deployed["aws-snapshot-volumes"], deployed["aws-protect-instance"]]
        os.environ.update(AWS_ACCESS_KEY_ID=key["AccessKeyId"], AWS_SECRET_ACCESS_KEY=key["SecretAccessKey"])
        boto3.setup_default_session()
        enforce("0")
        with concurrent.futures.ProcessPoolExecutor(AT_ONCE) as pool:
            # The longest first.
            order = sorted(deployed.values(), key=lambda it: -len(it.role.all()))
            done = list(pool.map(guarded, order))
        enforce("Infinity")
        os.environ.update(ours)
        boto3.setup_default_session()
    for name, tried, _, seconds in done:
        print(f"{name}: each of {tried} permissions is needed ({seconds:.0f} s)")
    problems = [problem for *_, found, _ in done for problem in found]
    if problems:
        sys.exit("\n".join(problems))
