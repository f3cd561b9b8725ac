"""Holds a Terraform module to the schema of Google's provider, as CDKTF's bindings carry it: no block or argument that
the provider does not know, none missing that it requires.

    python schema.py MODULE BINDINGS        BINDINGS: the unpacked npm package @cdktf/provider-google
"""

import pathlib
import re
import sys

import hcl2  # which checkov brings

# Terraform's own.
META = {"for_each", "count", "depends_on", "provider", "lifecycle", "dynamic"}


def plain(name):
    """`ackDeadlineSeconds` and `ack_deadline_seconds` are one."""
    return name.replace("_", "").lower()


class Bindings:
    def __init__(self, folder):
        self.folder = folder
        self.known = {}

    def of(self, resource):
        """The interfaces of a resource's bindings, each as {argument: (required, type)}."""
        if resource not in self.known:
            place = self.folder / "lib" / resource.removeprefix("google_").replace("_", "-")
            text = "".join(file.read_text() for file in sorted(place.glob("*.d.ts")))
            if not text:
                raise SystemExit(f"{resource}: the provider has no such resource")
            text = re.sub(r"/\*\*.*?\*/", "", text, flags=re.S)
            found = re.findall(r"export interface (\w+)(?: extends ([\w.]+))? \{(.*?)\n\}", text, re.S)
            interfaces, top = {}, None
            for name, base, body in found:
                lines = re.findall(r"readonly (\w+)(\??): ([^;]+);", body)
                interfaces[name] = {plain(key): (not optional, kind) for key, optional, kind in lines}
                if base.endswith("TerraformMetaArguments"):
                    top = name
            self.known[resource] = (interfaces, top)
        return self.known[resource]


def faults(interfaces, name, body, path):
    known, seen = interfaces[name], set()
    blocks = [(key, value) for key, value in body.items() if key not in META and not key.startswith("__")]
    for dynamic in body.get("dynamic", []):
        blocks += [(key, inner["content"]) for key, inner in dynamic.items()]
    for key, value in blocks:
        key = key.strip('"')
        if plain(key) not in known:
            yield f"{path}: {key} is not known"
            continue
        seen.add(plain(key))
        inner = [kind for kind in re.findall(r"\w+", known[plain(key)][1]) if kind in interfaces]
        for block in value if isinstance(value, list) else [value]:
            if inner and isinstance(block, dict):
                yield from faults(interfaces, inner[0], block, f"{path}.{key}")
    for key, (required, _) in known.items():
        if required and key not in seen:
            yield f"{path}: {key} is missing"


def main():
    module, bindings = pathlib.Path(sys.argv[1]), Bindings(pathlib.Path(sys.argv[2]))
    found, count = [], 0
    for file in sorted(module.glob("*.tf")):
        with file.open() as text:
            resources = hcl2.load(text).get("resource", [])
        for kind, name, body in ((k, n, b) for block in resources for k, named in block.items() for n, b in named.items()):
            if kind.startswith("google_"):
                interfaces, top = bindings.of(kind)
                found += faults(interfaces, top, body, f"{kind}.{name}")
                count += 1
    if found:
        raise SystemExit("\n".join(found))
    print(count)


if __name__ == "__main__":
    main()
