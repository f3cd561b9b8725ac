"""Every event of the public corpus against the pattern of every rule: `patterns.tsv` says which rules it must reach, and
no other may let it through.

moto's matcher, taught one thing that it leaves out and EventBridge does: a path goes through arrays, and matches where any
element does ("Event patterns", "Array matching"). Files that no event bus would carry (what another detector sends, a
finding without its envelope) are put through as they are, and must reach nobody.
"""

import json
import pathlib
import sys

from moto.events.models import EventPattern

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Pattern(EventPattern):
    @staticmethod
    def _flatten_dict(node, prefix="", result=None):
        result = {} if result is None else result
        for key, value in (node.items() if isinstance(node, dict) else ()):
            path = f"{prefix}.{key}" if prefix else key
            if isinstance(value, dict):
                Pattern._flatten_dict(value, path, result)
            elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
                for item in value:
                    inner = Pattern._flatten_dict(item, path, {})
                    for inner_path, found in inner.items():
                        found = found if isinstance(found, list) else [found]
                        result.setdefault(inner_path, []).extend(found)
            else:
                result[path] = value
        return result


def rules():
    for path in sorted((ROOT / "infra/responders").glob("*.json")):
        responder = json.loads(path.read_text())
        if "events" in responder:
            yield responder["name"], Pattern(None, responder["events"])


def no_json(word):
    raise ValueError(f"{word} is no JSON")


def documents(path):
    """The events of a file: one, or a list of them. What is no JSON, or nests without end, can be no event."""
    try:
        document = json.loads(path.read_bytes(), parse_constant=no_json)
    except (ValueError, RecursionError):
        return []
    return document if isinstance(document, list) else [document]


def reached(event, patterns):
    return {name for name, pattern in patterns if isinstance(event, dict) and pattern.matches_event(event)}


def table():
    """`patterns.tsv`: groups of responders (`=name`), then a file and the groups that it reaches."""
    groups, wanted = {}, {}
    for line in (ROOT / "tests/deploy/patterns.tsv").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, listed = line.partition("\t")
            if name.startswith("="):
                groups[name[1:]] = set(listed.split())
            else:
                wanted[name] = set().union(*(groups[group] for group in listed.split()))
    return groups, wanted


def main(folder):
    patterns = list(rules())
    groups, wanted = table()
    folder = pathlib.Path(folder)
    wrong, seen = [], 0
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".json", ".txt", ".tsv")]
    for path in files:
        name = path.relative_to(folder).as_posix()
        found = set()
        for event in documents(path):
            seen += 1
            found |= reached(event, patterns)
        if found != wanted.get(name, set()):
            wrong.append(f"{name}: reaches {sorted(found)}, must reach {sorted(wanted.get(name, set()))}")
    wrong += [f"{name}: it is in the table and not in the folder" for name in wanted if not (folder / name).exists()]
    # The same findings, sent by a person with a custom action of ours.
    by_hand = 0
    for path in sorted(folder.glob("securityhub-customaction-*.json")):
        for event in documents(path):
            event["detail"]["actionName"] = "Stanch: contain"
            kinds = {resource["Type"] for finding in event["detail"]["findings"] for resource in finding["Resources"]}
            must = set().union(*(groups[group] for kind, group in SENT.items() if kind in kinds))
            by_hand += bool(must)
            found = reached(event, patterns)
            if found != must:
                wrong.append(f"{path.name}, sent by hand ({sorted(kinds)}): {sorted(found)}, not {sorted(must)}")
    reach = {name for names in wanted.values() for name in names}
    wrong += [f"{name}: no real event reaches it" for name, _ in patterns if name not in reach]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{seen} events of {len(files)} files against {len(patterns)} rules; {len(wanted)} files reach some, "
          f"{by_hand} findings by hand")


SENT = {"AwsEc2Instance": "instance-severe", "AwsIamAccessKey": "principal", "AwsIamRole": "principal",
        "AwsIamUser": "principal", "AwsEksCluster": "cluster-severe"}

if __name__ == "__main__":
    main(sys.argv[1])
