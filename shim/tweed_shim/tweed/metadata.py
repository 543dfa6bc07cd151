"""What an image says about itself: the result of the contract's `metadata` operation.

It follows `metadata-schema.json`. Fields that the schema does not name are kept: a later version of the
contract may give them a meaning.
"""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

from tweed_shim import documents, schemas
from tweed_shim.errors import ContractError, UsageError
from tweed_shim.letters import ESCAPES
from tweed_shim.tweed import schema

FORMATS = ("yaml", "json")

_TEXTS = ("name", "version", "summary", "description", "copyright")
_ICON_SIDE = 128
_ICON_BYTES = 1 << 20
# Beyond what PyYAML quotes: numbers of YAML 1.2 (`0o17`, `1e3`), and characters that it writes as they are
# although readers take them for the end of a line.
_QUOTED = re.compile("^[-+.0-9]|[\x85\u2028\u2029\ufeff]")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def parse(data: bytes, *, image: str) -> dict[str, Any]:
    """Read the YAML that `image` printed, as plain data that JSON can hold.

    A text field that was written as a number (`version: 1.10`) is the text that was written. Raises
    ContractError, with every fault, its path and its line, where it is not what the contract asks for.
    """
    document = documents.load(data, name=f"the metadata of {image}", error=ContractError)
    if not isinstance(document.value, dict):
        raise ContractError(
            f"the metadata of {image} is no map of fields: the operation has to print one that begins with "
            "'backend: tweed/v1', and nothing else"
        )
    metadata = _with_texts_as_written(document)
    problems = [f"{document.place(fault.path)} {fault.problem}" for fault in _faults(metadata)]
    if problems:
        raise ContractError(f"the metadata of {image} breaks the contract: {documents.listed(problems)}")
    return metadata


def render(metadata: dict[str, Any], kind: str) -> str:
    """Metadata as text that ends a line; `kind` is one of FORMATS. Raises UsageError for another."""
    if kind == "json":
        return json.dumps(metadata, ensure_ascii=False, indent=2).translate(ESCAPES) + "\n"
    if kind == "yaml":
        return _to_yaml(metadata)
    raise UsageError(f"metadata has no format '{kind}': choose one of {', '.join(FORMATS)}")


def _with_texts_as_written(document: documents.Document) -> dict[str, Any]:
    metadata = dict(document.value)
    for field in _TEXTS:
        if isinstance(metadata.get(field), int | float):
            metadata[field] = document.text([field])
    return metadata


def _faults(metadata: dict[str, Any]) -> Iterator[schemas.Fault]:
    with open(os.path.join(os.path.dirname(__file__), "metadata-schema.json"), encoding="utf-8") as file:
        yield from schemas.faults(json.load(file), metadata)
    icon, inputs = metadata.get("icon"), metadata.get("inputs")
    if isinstance(icon, dict) and isinstance(icon.get("base64"), str):
        yield from (schemas.Fault(("icon", "base64"), problem) for problem in _icon_problems(icon["base64"]))
    if isinstance(inputs, dict):
        yield from (
            schemas.Fault(("inputs", *path), problem) for path, problem in schema.schema_faults(inputs)
        )


def _icon_problems(text: str) -> Iterator[str]:
    """What is wrong with an icon; its signature and header are looked at (PNG, 5.2 and 11.2.1)."""
    import base64
    import binascii

    try:
        picture = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        yield "is not base64"
        return
    if len(picture) > _ICON_BYTES:
        yield "is larger than 1 MiB"
    elif not picture.startswith(_PNG_SIGNATURE) or picture[12:16] != b"IHDR" or len(picture) < 33:
        yield "is not a PNG"
    else:
        width, height = (int.from_bytes(picture[start : start + 4], "big") for start in (16, 20))
        if (width, height) != (_ICON_SIDE, _ICON_SIDE):
            yield f"is {width}x{height} pixels, and must be {_ICON_SIDE}x{_ICON_SIDE}"


def _to_yaml(metadata: dict[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Text of several lines as a block, and no anchors."""

        def ignore_aliases(self, _: Any) -> bool:
            return True

    def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = None
        if _QUOTED.search(text) or text != text.translate(ESCAPES):
            style = '"'
        elif "\n" in text:
            style = "|"
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent_text)
    text: str = yaml.dump(metadata, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    # What has such letters is in double quotes.
    return text.translate(ESCAPES)
