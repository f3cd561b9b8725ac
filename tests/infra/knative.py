"""Reads a rendered Knative kustomization on standard input; every Service must fit Knative Serving's own schema.

    kubectl kustomize infra/k8s/knative | python knative.py
"""

import sys

import yaml
from cloudcoil.models.knative_serving import serving


def main():
    services = [it for it in yaml.safe_load_all(sys.stdin) if it["apiVersion"].startswith("serving.knative.dev/")]
    for service in services:
        kept = serving.v1.Service.model_validate(service).model_dump(mode="json", by_alias=True, exclude_none=True)
        lost = list(missing(service, kept))
        if lost:
            sys.exit(f"{service['metadata']['name']}: the schema does not know {', '.join(lost)}")
    print(len(services))


def missing(given, kept, path=""):
    """Fields that the schema has dropped."""
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(kept, dict) or key not in kept:
                yield f"{path}.{key}"
            else:
                yield from missing(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list):
        for index, value in enumerate(given):
            yield from missing(value, kept[index] if index < len(kept) else None, f"{path}[{index}]")


if __name__ == "__main__":
    main()
