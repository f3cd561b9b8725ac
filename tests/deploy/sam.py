"""`template.yaml`: `cfn-lint` and `sam validate --lint` have nothing to say, and find a template of one mistake;
`aws-sam-translator` turns it into plain CloudFormation, and moto's CloudFormation makes a stack of it, with all that moto
serves, read back by boto3. (moto cannot delete a stack whose roles have policies.)"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import boto3
from cfnlint.decode import cfn_yaml
from moto.cloudformation.parsing import get_model_map
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
REGION = "eu-central-1"
PARAMETERS = {"Auto": "aws-isolate-instance", "Cluster": "prod", "AlertEmail": "soc@example.com",
              "UndoPrincipal": "arn:aws:iam::123456789012:role/analysts"}


def plain(value):
    """Without the positions that cfn-lint's reader keeps."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def tool(name, *arguments):
    """Runs what is installed beside this Python; its exit code, and all that it said."""
    done = subprocess.run([pathlib.Path(sys.executable).with_name(name), *arguments], capture_output=True, text=True,
                          env={**os.environ, "SAM_CLI_TELEMETRY": "0"})
    return done.returncode, (done.stdout + done.stderr).strip()


def lint(path):
    return tool("cfn-lint", str(path))


def validate(path):
    return tool("sam", "validate", "--lint", "--template", str(path), "--region", REGION)


def judge():
    """Neither has anything to say of the template, and both have of one with a mistake."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        mistaken = pathlib.Path(folder) / "template.yaml"
        text = TEMPLATE.read_text()
        mistaken.write_text(text.replace("VisibilityTimeout:", "VisibleTimeout:", 1))
        for reader in (lint, validate):
            code, said = reader(TEMPLATE)
            if code or (reader is lint and said):
                problems.append(f"{reader.__name__}: {said[:6000]}")
            code, said = reader(mistaken)
            if not code or "VisibleTimeout" not in said:
                problems.append(f"{reader.__name__} lets VisibleTimeout pass: {said[:2000]}")
    return problems


def packaged(template):
    """As `sam package` leaves it: the code is in a bucket."""
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": "packages", "Key": "bootstrap.zip"}
    return template


def main():
    problems = judge()
    template = cfn_yaml.load(str(TEMPLATE))
    template = packaged(plain(template))
    parameters = {name: it.get("Default", "") for name, it in template["Parameters"].items()} | PARAMETERS
    stack = Translator({}, Parser()).translate(template, dict(parameters), feature_toggle=None)
    serverless = [name for name, it in stack["Resources"].items() if it["Type"].startswith("AWS::Serverless")]
    problems += [f"{name} is not translated" for name in serverless]

    s3, cloudformation = boto3.client("s3"), boto3.client("cloudformation")
    s3.create_bucket(Bucket="packages", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="packages", Key="bootstrap.zip", Body=b"PK\x05\x06" + bytes(18))
    text = json.dumps(stack)
    s3.put_object(Bucket="packages", Key="stack.json", Body=text.encode())
    if len(stack["Resources"]) > 500 or len(text) > 1_000_000:
        problems.append(f"{len(stack['Resources'])} resources in {len(text)} bytes: CloudFormation takes 500 in 1 MB")
    cloudformation.create_stack(
        StackName="stanch", TemplateBody=text, Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": str(value)} for name, value in parameters.items()])
    status = cloudformation.describe_stacks(StackName="stanch")["Stacks"][0]["StackStatus"]
    if status != "CREATE_COMPLETE":
        problems.append(f"the stack is {status}")
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName="stanch")
    made = {it["LogicalResourceId"] for page in pages for it in page["StackResourceSummaries"]}
    served = set(get_model_map())
    wired = wired_by(template, parameters)
    unserved = sorted({it["Type"] for it in stack["Resources"].values() if it["Type"] not in served})
    for name, it in stack["Resources"].items():
        if it["Type"] in served and wired(it.get("Condition")) != (name in made):
            problems.append(f"{name} ({it['Type']}) is {'' if name in made else 'not '}made")
    problems += look(made)
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(made)} of {len(stack['Resources'])} resources on moto's CloudFormation; which has no {', '.join(unserved)}")


def wired_by(template, parameters):
    """Whether a condition of the template holds with these parameters."""
    def holds(name):
        if name is None:
            return True
        if name.endswith("Wired"):
            return name[:-5] in ["".join(word.capitalize() for word in it.split("-")) for it in parameters["Auto"].split(",")]
        return {"HasEmail": "AlertEmail", "HasUndo": "UndoPrincipal", "HasCluster": "Cluster"}[name] and True
    return holds


def look(made):
    """Each responder's function, and the rule with its pattern, as boto3 finds them."""
    functions, events = boto3.client("lambda"), boto3.client("events")
    pages = functions.get_paginator("list_functions").paginate()
    about = {it["Description"]: it for page in pages for it in page["Functions"]}
    patterns = [json.loads(it["EventPattern"]) for it in events.list_rules()["Rules"] if "EventPattern" in it]
    for path in sorted((ROOT / "infra/responders").glob("*.json")):
        said = json.loads(path.read_text())
        if said["wing"] == "gcp":
            continue
        found = about.get(said["about"])
        if not found:
            yield f"{said['name']}: there is no function of it"
        elif (found["Runtime"], found["Environment"]["Variables"]["STANCH_MODE"]) != ("provided.al2023", "observe"):
            yield f"{said['name']}: {found}"
        must = said["trigger"] == "event" or said["name"] == PARAMETERS["Auto"]
        if must != (said["events"] in patterns) and not any(
                other["events"] == said["events"] for other in others(said["name"])):
            yield f"{said['name']}: its rule is {'missing' if must else 'there'}"


def others(name):
    for path in (ROOT / "infra/responders").glob("*.json"):
        said = json.loads(path.read_text())
        if said["wing"] != "gcp" and said["name"] != name:
            yield said


if __name__ == "__main__":
    main()
