"""The metadata of an image, which the operation `metadata` of both contracts prints: parse it, and print it again.

`metadata-schema.json` describes it. The field `backend` or `pattern` says which contract the image implements. Fields
that the schema does not name are kept: a later version of the contract may define them.
"""

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from tweed_shim.data import document_paths, document_writer, documents, jsonschema
from tweed_shim.errors import ContractError, UsageError
from tweed_shim.tweed import contract, schema

FORMATS = ("yaml", "json")

_TEXTS = ("name", "version", "summary", "description", "copyright")
_FILE_TEXTS = ("filename", "summary", "description")
_ICON_SIDE = 128
_ICON_BYTES = 1 << 20
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def parse(data: bytes, *, image: str) -> dict[str, Any]:
    """Parse the YAML that `image` printed into data that JSON can express.

    A text field that was written as a number (`version: 1.10`) is the text as written. Raises ContractError, with every
    fault, its path and its line, where the metadata breaks the contract.
    """
    document = documents.load(data, name=f"the metadata of {image}", error=ContractError)
    if not isinstance(document.value, dict):
        raise ContractError(
            f"the metadata of {image} is no map of fields: the operation has to print one that begins with "
            "'backend: tweed/v1' or 'pattern: tweed/v1', and nothing else"
        )
    metadata = _with_texts_as_written(document)
    problems = [f"{document.location(fault.path)} {fault.problem}" for fault in _faults(metadata)]
    if problems:
        raise ContractError(
            f"the metadata of {image} breaks the contract: {document_paths.join_problems(problems)}"
        )
    return metadata


def render(metadata: dict[str, Any], kind: str) -> str:
    """Return metadata as text in one of FORMATS, with a newline at the end. Raises UsageError for another format."""
    if kind == "json":
        return document_writer.to_json(metadata)
    if kind == "yaml":
        return document_writer.to_yaml(metadata)
    raise UsageError(f"metadata has no format '{kind}': choose one of {', '.join(FORMATS)}")


def _with_texts_as_written(document: documents.Document) -> dict[str, Any]:
    metadata = _texts_as_written(document, document.value, path=(), fields=_TEXTS)
    if contract.kind(metadata) == contract.PATTERN and isinstance(metadata.get("files"), list):
        metadata["files"] = [
            _texts_as_written(document, file, path=("files", number), fields=_FILE_TEXTS)
            if isinstance(file, dict)
            else file
            for number, file in enumerate(metadata["files"])
        ]
    return metadata


def _texts_as_written(
    document: documents.Document,
    values: dict[str, Any],
    *,
    path: tuple[str | int, ...],
    fields: Iterable[str],
) -> dict[str, Any]:
    """Return a copy of the map at `path` in which a number or a truth value in one of the `fields` is text."""
    texts = dict(values)
    for field in fields:
        if isinstance(texts.get(field), int | float):
            texts[field] = document.text([*path, field])
    return texts


def _faults(metadata: dict[str, Any]) -> Iterator[jsonschema.SchemaFault]:
    with open(os.path.join(os.path.dirname(__file__), "metadata-schema.json"), encoding="utf-8") as file:
        yield from (*_kind_faults(metadata), *jsonschema.value_faults(json.load(file), metadata))
    if contract.kind(metadata) == contract.PATTERN and isinstance(metadata.get("files"), list):
        yield from _file_faults(metadata["files"])
    icon, inputs = metadata.get("icon"), metadata.get("inputs")
    if isinstance(icon, dict) and isinstance(icon.get("base64"), str):
        yield from (
            jsonschema.SchemaFault(("icon", "base64"), problem) for problem in _icon_problems(icon["base64"])
        )
    if isinstance(inputs, dict):
        yield from (
            jsonschema.SchemaFault(("inputs", *fault.path), fault.problem)
            for fault in schema.schema_faults(inputs)
        )


def _kind_faults(metadata: dict[str, Any]) -> Iterator[jsonschema.SchemaFault]:
    if "backend" not in metadata and "pattern" not in metadata:
        yield jsonschema.SchemaFault(
            (), "says neither 'backend: tweed/v1' nor 'pattern: tweed/v1', and must say one of them"
        )
    elif "backend" in metadata and "pattern" in metadata:
        yield jsonschema.SchemaFault(
            ("pattern",), "stands beside 'backend', and an image is only one of the two"
        )


def _file_faults(files: list[Any]) -> Iterator[jsonschema.SchemaFault]:
    """Yield the faults of the names of files; the schema has those of their types."""
    first: dict[str, int] = {}
    for number, file in enumerate(files):
        name = file.get("filename") if isinstance(file, dict) else None
        if not isinstance(name, str) or name == "":
            continue
        problem = _filename_problem(name)
        if problem is None and first.setdefault(name, number) != number:
            problem = f"is the name of files[{first[name]}] as well"
        if problem is not None:
            yield jsonschema.SchemaFault(("files", number, "filename"), problem)


def _filename_problem(name: str) -> str | None:
    components = name.split("/")
    if name.startswith("/"):
        return "must be relative to $OUTPUTS, and is absolute"
    if ".." in components:
        return "must lie below $OUTPUTS, and has a component '..'"
    if "" in components or "." in components:
        return "must be a plain path, and has a component that is empty or '.'"
    return "holds NUL, which no name of a file can" if "\0" in name else None


def _icon_problems(text: str) -> Iterator[str]:
    """Yield the fault of an icon by its signature and header (PNG, 5.2 and 11.2.1)."""
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
