"""A function as it is deployed: its environment, its role, and Lambda's Runtime API before it."""

import http.server
import json
import os
import queue
import subprocess
import tempfile
import threading
import time
import uuid

from policies import ACCOUNT, REGION, actions, attached, client, inline

SECONDS = 60


class Api(http.server.BaseHTTPRequestHandler):
    """Lambda's Runtime API for one invocation."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        try:
            event = self.server.events.get_nowait()
        except queue.Empty:
            # There is no other: as in Lambda, it waits until it is ended.
            self.server.done.wait()
            self.close_connection = True
            return
        self.reply(200, event, {
            "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + SECONDS) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:deployed",
        })

    def do_POST(self):
        length = self.headers.get("Content-Length")
        body = self.chunks() if length is None else self.rfile.read(int(length))
        # Before it is ended: it may go as soon as its answer is there.
        self.reply(202, b"{}", {})
        self.server.answers.put(json.loads(body))

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def reply(self, status, body, headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def handle_error(self, *_):
        # A process that was ended leaves its connections.
        pass


def invoke(program, environment, event):
    """The answer of a function that is started for this event."""
    with Server(("127.0.0.1", 0), Api) as server:
        server.events, server.answers, server.done = queue.Queue(), queue.Queue(), threading.Event()
        server.events.put(json.dumps(event).encode())
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        given = {**environment, "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:%d" % server.server_address[1],
                 "AWS_LAMBDA_FUNCTION_NAME": program.name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
                 "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256"}
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen([program], env=given, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                return server.answers.get(timeout=SECONDS)
            except queue.Empty:
                log.seek(0)
                logged = log.read()[-4000:].decode(errors="replace")
                raise AssertionError(f"{program.name} does not answer: {logged}") from None
            finally:
                process.kill()
                process.wait()
                server.done.set()
                server.shutdown()


def said(answer):
    """Why it failed, all of it."""
    errors = [change.get("error") or "" for change in answer.get("changes", [])]
    return " ".join([answer.get("reason") or "", answer.get("errorMessage") or "", *errors])


def brief(answer):
    return f"{answer.get('status')} {answer.get('error')}: {said(answer)}"


class Role:
    """A role, and what a session of it has in its environment. Which policies it has, counts at each call."""

    def __init__(self, name, documents):
        self.name, self.documents = name, documents
        arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        made = client("sts").assume_role(RoleArn=arn, RoleSessionName="function")["Credentials"]
        self.session = {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
                        "AWS_SESSION_TOKEN": made["SessionToken"]}

    def all(self):
        return actions(*self.documents.values())

    def have(self, without=None):
        for name, document in self.documents.items():
            kept = [action for action in actions(document) if action != without]
            statement = {"Effect": "Allow", "Action": kept, "Resource": "*"}
            client("iam").put_role_policy(RoleName=self.name, PolicyName=name, PolicyDocument=json.dumps(
                {"Version": "2012-10-17", "Statement": [statement] if kept else []}))


class Deployed:
    """A function as it is deployed, and the undo role as far as it is this responder's."""

    def __init__(self, name, it, folder):
        self.name, self.program = name, folder / name
        made = client("lambda").get_function(FunctionName=f"stanch-{name}")["Configuration"]
        self.variables = made["Environment"]["Variables"]
        # So many targets at once are no incident here.
        limits = {"limits": {name: {"per_ten_minutes": 10000, "per_day": 10000}}}
        self.variables["STANCH_GUARD"] = json.dumps(json.loads(self.variables["STANCH_GUARD"]) | limits)
        self.role = Role(f"stanch-{name}", inline(f"stanch-{name}"))
        self.undoer = None
        own = attached("stanch-undo").get(f"stanch-undo-{name}")
        if own:
            # On a role of its own: what all responders' parts together allow, hides what one of them lacks.
            client("iam").create_role(RoleName=f"undo-{name}", AssumeRolePolicyDocument=json.dumps({
                "Version": "2012-10-17", "Statement": [
                    {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}))
            self.undoer = Role(f"undo-{name}", {"act": own, **inline("stanch-undo")})

    def environment(self, session):
        machine = {key: os.environ[key] for key in ("AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED")}
        return {"AWS_REGION": REGION, "HOME": "/nonexistent", "RUST_LOG": "warn", **machine, **self.variables, **session}

    def run(self, mode, target, options=None, without=None):
        self.role.have(without)
        return self.order(self.role.session, mode, target, options)

    def order(self, session, mode, target, options=None):
        order = {"mode": mode, "incident": "case-1", "target": target, "options": options or {}, "requested_by": "ann"}
        return invoke(self.program, self.environment(session), order)

    def type_in(self, mode, target, options=None, without=None):
        """As a person does."""
        self.undoer.have(without)
        chosen = [f"--set={key}={json.dumps(value).strip(chr(34))}" for key, value in (options or {}).items()]
        done = subprocess.run(
            [self.program, mode, "--incident", "case-1", "--target", json.dumps(target), "--json", *chosen],
            env=self.environment(self.undoer.session), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS)
        assert done.stdout.strip(), f"{self.name} {mode}: {done.stderr[-4000:]}"
        return json.loads(done.stdout)
