"""The schema of Google's Terraform provider, out of CDKTF's bindings for it (the npm package @cdktf/provider-google).

Each `lib/NAME/index.js` carries the TypeScript that it was compiled from, and that says of every attribute, in a comment
that the generator writes, whether it is required, optional or computed; the getter below it says its type. The answer
has the form that `terraform providers schema -json` prints.
"""

import base64
import json
import re
import tarfile

CLASS = re.compile(r"^export class (\w+) extends cdktf\.(\w+) \{\n(.*?)^\}", re.M | re.S)
ATTRIBUTE = re.compile(r"  // (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n(.*?)(?=  // \w+ - computed|\Z)",
                       re.S)
SIMPLE = {"String": "string", "Number": "number", "Boolean": "bool", "List": ["list", "string"],
          "NumberList": ["list", "number"], "StringMap": ["map", "string"]}
# The provider's own arguments have no getters that tell.
FIELDS = {"string": "string", "number": "number", "boolean": "bool", "string[]": ["list", "string"],
          "{ [key: string]: string }": ["map", "string"]}


class Source:
    """One resource, data source or provider."""

    def __init__(self, text):
        carried = re.search(r"sourceMappingURL=data:application/json;base64,(\S+)", text)[1]
        source, = json.loads(base64.b64decode(carried))["sourcesContent"]
        found = CLASS.findall(source)
        self.bodies = {name: body for name, _, body in found}
        tops = ("TerraformResource", "TerraformDataSource", "TerraformProvider")
        self.top, = (name for name, base, _ in found if base in tops)

    def block(self, name):
        attributes, blocks = {}, {}
        for key, computed, optional, required, code in ATTRIBUTE.findall(self.bodies[name]):
            said = {"computed": computed == "true", "optional": optional == "true", "required": required == "true"}
            made = re.search(r" = new (\w+)(OutputReference|List)\(this, \"\w+\"(?:, (\w+))?\)", code)
            if made is None:
                kind = self.simple(code)
                if kind is not None:
                    attributes[key] = {"type": kind, **said}
            elif said["computed"]:
                if said["optional"]:
                    raise SystemExit(f"{name}.{key}: an argument that is written like a block is not known here")
                attributes[key] = {"type": ["list", self.object(made[1])], **said}
            else:
                blocks[key] = self.nested(*made.groups(), said["required"])
        return {"attributes": attributes, "block_types": blocks}

    def nested(self, name, form, set_of, required):
        made = {"block": self.block(f"{name}OutputReference"), "nesting_mode": "set" if set_of == "true" else "list"}
        if form == "OutputReference":
            # Whether it is one of a list that has one at most, or has no list around it (`timeouts`).
            arguments = re.search(r"super\(terraformResource, terraformAttribute, (.*)\)", self.bodies[f"{name}{form}"])[1]
            if arguments == "false":
                return {**made, "nesting_mode": "single"}
            made |= {"nesting_mode": {"false, 0": "list", "true, 0": "set"}[arguments], "max_items": 1}
        return {**made, "min_items": int(required)}

    def object(self, name):
        block = self.block(f"{name}OutputReference")
        return ["object", {key: it["type"] for key, it in block["attributes"].items()}]

    @staticmethod
    def simple(code):
        getter = re.search(r"return (cdktf\.Fn\.tolist\()?this\.get(\w+)Attribute\(", code)
        if getter:
            kind = SIMPLE[getter[2]]
            return ["set", kind[1]] if getter[1] else kind
        made = re.search(r" = new cdktf\.(\w+)\(", code)
        if made:
            return SIMPLE[made[1]]
        field = re.search(r"private _\w+\??: (.*?)(?: \| cdktf\.IResolvable)?;", code)[1]
        # The provider's own blocks are left out: a module does not set the provider up.
        return None if field.startswith("GoogleProvider") else FIELDS[field]


def schema(package, resources, data_sources):
    """What `package`, the packed bindings, know of these resources and data sources, and of the provider itself."""
    folder = {"provider": "provider", **{name: name.removeprefix("google_").replace("_", "-") for name in resources},
              **{f"data {name}": f"data-{name.replace('_', '-')}" for name in data_sources}}
    files = {f"package/lib/{name}/index.js" for name in folder.values()}
    # One way through the archive: to look files up in it by name would be another.
    with tarfile.open(package, "r|gz") as archive:
        texts = {it.name: archive.extractfile(it).read().decode() for it in archive if it.name in files}
    missing = sorted(files - texts.keys())
    if missing:
        raise SystemExit(f"the provider has none of these: {', '.join(missing)}")
    sources = {name: Source(texts[f"package/lib/{at}/index.js"]) for name, at in folder.items()}
    served = {name: {"block": it.block(it.top)} for name, it in sources.items()}
    return {"provider": served["provider"], "resource_schemas": {name: served[name] for name in resources},
            "data_source_schemas": {name: served[f"data {name}"] for name in data_sources}}
