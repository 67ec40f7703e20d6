"""Read the schema of Terraform's provider azurerm out of TypeScript that was generated from it.

usage: schema.py PACKAGE OUTPUT TYPE...   PACKAGE is the folder of @cdktf/provider-azurerm, TYPE as in `data.azurerm_x`.
Writes what a provider answers when it is asked for its schema (provider.py does), and prints the provider's version.

The generated classes say of every argument and attribute what it is, and their `ToHclTerraform` functions which of them
are blocks. Arguments inside the provider's own blocks are all taken for optional ones, as no class describes them.
"""

import base64
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from tf.gen import tfplugin_pb2 as pb

SOURCE = re.compile(r"sourceMappingURL=data:application/json;base64,(\S+)")
VERSION = re.compile(r"/providers/hashicorp/azurerm/([\d.]+)/docs")
CLASS = re.compile(r"^export class (\w+) extends cdktf\.\w+ \{(.*?)^\}", re.DOTALL | re.MULTILINE)
FUNCTION = re.compile(r"^export function (\w+)ToHclTerraform\((.*?)^\}", re.DOTALL | re.MULTILINE)
MEMBER = re.compile(
    r"^  // (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n(.*?)(?=^  // )", re.DOTALL | re.MULTILINE
)
SETTING = re.compile(
    r'(\w+): \{\s+value: (.*?),\s+isBlock: (\w+),\s+type: "(\w+)",\s+storageClassType: "(\w+)"', re.DOTALL
)
OWN_TYPE = re.compile(r"(\w+)ToHclTerraform(, false)?")
SCALARS = {"string": "string", "number": "number", "boolean": "bool"}
NESTING = {name.lower(): value for name, value in pb.Schema.NestedBlock.NestingMode.items()} | {"struct": 1}


class Setting(NamedTuple):
    """What is synthesised for an argument or a block."""

    value: str
    is_block: str
    kind: str
    storage: str


class Source:
    """The TypeScript of one resource, data source or provider."""

    def __init__(self, package: Path, folder: str) -> None:
        found = SOURCE.search((package / "lib" / folder / "index.js").read_text("utf-8"))
        self.text = json.loads(base64.b64decode(found[1]))["sourcesContent"][0]
        self.classes = dict(CLASS.findall(self.text))
        self.functions = dict(FUNCTION.findall(self.text))

    def schema(self) -> pb.Schema:
        """Return the schema of the class that stands last, which those before are parts of."""
        *_, body = self.classes.values()
        members, _, settings = body.partition("synthesizeHclAttributes")
        return pb.Schema(block=self.block(members, settings))

    def nested(self, name: str) -> pb.Schema.Block:
        members = self.classes.get(f"{name[0].upper()}{name[1:]}OutputReference", "")
        return self.block(members, self.functions.get(f"{name[0].lower()}{name[1:]}", ""))

    def block(self, members: str, settings: str) -> pb.Schema.Block:
        known = {name: Setting(*rest) for name, *rest in SETTING.findall(settings)}
        made = pb.Schema.Block()
        listed = MEMBER.findall(members + "  // ") or [(name, "false", "true", "false", "") for name in known]
        for name, computed, optional, required, code in listed:
            setting = known.get(name)
            own = OWN_TYPE.search(setting.value) if setting and setting.is_block == "true" else None
            if own and not own[2]:
                once = setting.kind == "list" and "OutputReference(this" in code
                made.block_types.add(
                    type_name=name,
                    nesting=NESTING[setting.kind],
                    block=self.nested(own[1]),
                    min_items=int(required == "true" and setting.kind != "struct"),
                    max_items=int(once),
                )
            else:
                kind = [setting.kind, self.object(own[1])] if own else self.kind(setting, code)
                flags = {"computed": computed == "true", "optional": optional == "true", "required": required == "true"}
                made.attributes.add(name=name, type=json.dumps(kind).encode(), **flags)
        return made

    def kind(self, setting: Setting | None, code: str) -> object:
        """Return the type of an attribute, as Terraform writes it in JSON."""
        computed = re.search(r'new (\w+?)(List|Map|OutputReference)\(this, "\w+"(?:, (true|false))?\)', code)
        if computed:
            collection = "map" if computed[2] == "Map" else "set" if computed[3] == "true" else "list"
            return [collection, self.object(computed[1])]
        if setting:
            scalar, collection = re.fullmatch(r"(string|number|boolean)(List|Set|Map)?", setting.storage).groups()
            return [setting.kind, SCALARS[scalar]] if collection else SCALARS[scalar]
        told = re.search(r"get(String|Number|Boolean)?(List|Map)?Attribute\(|new cdktf\.(String)(Map)\(", code)
        scalar = SCALARS[(told[1] or told[3] or "String").lower()]
        collection = "set" if "Fn.tolist(" in code else (told[2] or told[4] or "").lower()
        return [collection, scalar] if collection else scalar

    def object(self, name: str) -> list:
        """Return the type of what has no block of its own: an object."""
        block = self.nested(name)
        names = {one.name: json.loads(one.type) for one in block.attributes}
        if not names or block.block_types:
            raise SystemExit(f"{name}: a type that this program cannot read.")
        return ["object", names]


def main() -> None:
    package, output, *types = sys.argv[1:]
    provider = Source(Path(package), "provider")
    answer = pb.GetProviderSchema.Response(provider=provider.schema())
    block = answer.provider.block
    for one in [one for one in block.attributes if one.name == "alias"]:
        block.attributes.remove(one)  # every provider has it, and none says so
    for one in block.block_types:
        one.min_items = one.max_items = int(one.type_name == "features")  # which azurerm demands in code
    for name in types:
        kind, _, resource = name.rpartition("azurerm_")
        folder = f"{kind}{resource}".replace("_", "-").replace("data.", "data-azurerm-")
        if (Path(package) / "lib" / folder).exists():
            schemas = answer.data_source_schemas if kind else answer.resource_schemas
            schemas[f"azurerm_{resource}"].CopyFrom(Source(Path(package), folder).schema())
    Path(output).write_bytes(answer.SerializeToString())
    print(VERSION.search(provider.text)[1])


main()
