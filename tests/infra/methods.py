"""Prints the methods of Google's APIs, by the discovery documents that Google's client carries: one id a line.

    python methods.py compute.v1 iam.v1
"""

import json
import pathlib
import sys

import googleapiclient


def walk(node):
    for method in node.get("methods", {}).values():
        yield method["id"]
    for resource in node.get("resources", {}).values():
        yield from walk(resource)


for name in sys.argv[1:]:
    folder = pathlib.Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    print("\n".join(walk(json.loads((folder / f"{name}.json").read_text()))))
