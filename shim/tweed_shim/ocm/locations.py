"""Where component versions are, as people and configurations write it.

    [TYPE::]PATH[//NAME[:VERSION]]                        an archive
    [TYPE::][SCHEME://]HOST[:PORT][/PREFIX][//NAME[:VERSION]]   a registry
    [TYPE::]{JSON}[//NAME[:VERSION]]                      a repository specification
    NAME[:VERSION]                                        in a repository that is named elsewhere

Source: `ocm ocm-references` of the reference command. A host has a dot, a port or a scheme: other words are paths.
"""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from tweed_shim.errors import BadReference
from tweed_shim.image.reference import parse_registry
from tweed_shim.letters import quoted
from tweed_shim.ocm import ctf
from tweed_shim.records import Record

CTF = "CommonTransportFormat"
ARCHIVE = "ComponentArchive"
REGISTRY = "OCIRegistry"
FILE = ""
HASHED_NAMES = "sha256-digest"

_TYPES = {
    "commontransportformat": CTF,
    "ctf": CTF,
    "componentarchive": ARCHIVE,
    "ca": ARCHIVE,
    "ociregistry": REGISTRY,
    "ocirepository": REGISTRY,
    "oci": REGISTRY,
    **dict.fromkeys(ctf.FORMATS, FILE),
}
_TYPED = re.compile(
    r"(?P<create>\+?)(?:(?P<type>[A-Za-z][A-Za-z0-9/.-]*)(?:\+(?P<format>[a-z]+))?::)?(?P<rest>.*)", re.DOTALL
)
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})+(?::[0-9]+)?|{_LABEL}:[0-9]+|\[[0-9A-Fa-f:]+\](?::[0-9]+)?)")
_SCHEMED = re.compile("(?P<scheme>https|http|oci)://(?P<rest>.+)")
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_COMPONENT = re.compile(rf"{_LABEL}(?:\.{_LABEL})+(?:/{_PART})+")
_VERSION = re.compile("[0-9A-Za-z][0-9A-Za-z.+_-]*")


class Specification(Record):
    """A repository. kind: CTF, ARCHIVE, REGISTRY, or FILE where the file itself tells which of the first two it is.

    path: of a file. file_format: what a new one becomes, empty for the default. host, sub_path: of a registry;
    plain: it was said to speak HTTP. hashed_names: see OciRepository.
    """

    kind: str
    path: str = ""
    file_format: str = ""
    host: str = ""
    sub_path: str = ""
    plain: bool = False
    hashed_names: bool = False

    def __str__(self) -> str:
        """What people call it."""
        return self.path or (f"{self.host}/{self.sub_path}" if self.sub_path else self.host)


class Location(Record):
    """What a person named: a repository, a component, one version; each of them may be left out (None, empty)."""

    repository: Specification | None
    component: str = ""
    version: str = ""


def parse(text: str) -> Location:
    """Read a reference to a component version, or to a whole repository. Raises BadReference."""
    typed, rest = _typed(text)
    if rest.startswith("{"):
        fields, rest = _json_prefix(text, rest)
        repository = from_fields({"type": typed["type"] or "", **fields})
        component = rest.removeprefix("//")
    else:
        before, separator, component = _split(rest)
        if not separator and not typed["type"] and _is_component(rest) and not os.path.exists(rest):
            return _located(text, None, rest)
        repository = _repository(text, typed, before)
    return _located(text, repository, component) if component else Location(repository)


def parse_repository(text: str) -> Specification:
    """Read a reference to a repository. Raises BadReference."""
    typed, rest = _typed(text)
    if rest.startswith("{"):
        fields, component = _json_prefix(text, rest)
        found = None if component else from_fields({"type": typed["type"] or "", **fields})
    else:
        before, _, component = _split(rest)
        found = None if component else _repository(text, typed, before)
    if found is None:
        raise BadReference(
            f"{quoted(text)} names a component where only its repository is meant: leave out //NAME:VERSION"
        )
    return found


def parse_component(text: str) -> Location:
    """Read `NAME[:VERSION]`. Raises BadReference."""
    return _located(text, None, text)


def from_fields(fields: Mapping[str, Any]) -> Specification:
    """Read a repository specification (OCM specification, 04-extensions/03-storage-backends). Raises BadReference."""
    kind = _kind(str(fields.get("type", "")))
    values = {key: fields.get(key) for key in ("filePath", "fileFormat", "baseUrl", "subPath")}
    if kind is None or not all(value is None or isinstance(value, str) for value in values.values()):
        raise BadReference(
            f"a repository specification of type {str(fields.get('type', ''))!r} is not known: "
            f"use {CTF}, {ARCHIVE} or {REGISTRY}, with filePath or baseUrl"
        )
    if kind == REGISTRY:
        found = _registry(str(values["baseUrl"] or ""), str(values["baseUrl"]))
        hashed = fields.get("componentNameMapping") == HASHED_NAMES
        sub_path = (values["subPath"] or found.sub_path).strip("/")
        _check_prefix(sub_path, "a repository specification")
        return Specification(
            kind,
            host=found.host,
            sub_path=sub_path,
            plain=found.plain,
            hashed_names=hashed,
        )
    if not values["filePath"]:
        raise BadReference(f"a repository specification of type {fields['type']} has no filePath: add it")
    return Specification(kind, path=values["filePath"], file_format=values["fileFormat"] or "")


def to_fields(specification: Specification) -> dict[str, str]:
    """A specification as configurations hold it."""
    if specification.kind == REGISTRY:
        scheme = "http://" if specification.plain else ""
        fields = {"type": REGISTRY, "baseUrl": f"{scheme}{specification.host}"}
        return fields | ({"subPath": specification.sub_path} if specification.sub_path else {})
    return {"type": specification.kind or CTF, "filePath": specification.path}


def _typed(text: str) -> tuple[dict[str, str | None], str]:
    match = _TYPED.fullmatch(text)
    parts: dict[str, str | None] = match.groupdict() if match else {}
    rest = parts.get("rest") or ""
    _refuse_user(rest)
    if not rest or "\0" in text:
        raise BadReference(
            f"{quoted(text)} names no repository: write PATH//NAME:VERSION or HOST/PREFIX//NAME:VERSION"
        )
    return parts, rest


def _refuse_user(rest: str) -> None:
    """Raise BadReference where a user name stands before a host. Nothing of such a text is repeated."""
    is_path = (rest.startswith(("/", "./", "../")) and not rest.startswith("//")) or os.path.lexists(
        rest.partition("//")[0]
    )
    if (
        not rest.startswith("{")
        and not is_path
        and any("@" in each.lstrip("/").partition("/")[0] for each in rest.split("://"))
    ):
        raise BadReference(
            "a location has a user name or a password before its host: leave it out and use tweed-shim login, or write "
            "./ before the path of a file"
        )


def _json_prefix(text: str, rest: str) -> tuple[dict[str, Any], str]:
    try:
        fields, end = json.JSONDecoder().raw_decode(rest)
    except (ValueError, RecursionError):
        raise BadReference(
            f"{quoted(text)} begins with a repository specification that is not JSON: mend it"
        ) from None
    return fields, rest[end:]


def _split(rest: str) -> tuple[str, str, str]:
    """The repository and the component, which begins after the last `//` that is not a scheme's."""
    before, separator, component = rest.rpartition("//")
    if not separator or before.endswith(":"):
        return rest, "", ""
    return before, separator, component


def _is_component(text: str) -> bool:
    return _COMPONENT.fullmatch(text.partition(":")[0]) is not None


def _located(text: str, repository: Specification | None, named: str) -> Location:
    name, colon, version = named.partition(":")
    if not _COMPONENT.fullmatch(name):
        raise BadReference(
            f"the component {quoted(name)} of {quoted(text)} is malformed: "
            "it is a domain and a path of lower-case letters, such as example.com/app"
        )
    if colon and not _VERSION.fullmatch(version):
        raise BadReference(
            f"the version {quoted(version)} of {quoted(text)} is malformed: write one such as 1.2.3"
        )
    return Location(repository, name, version)


def _kind(name: str) -> str | None:
    return _TYPES.get(name.partition("/")[0].lower())


def _repository(text: str, typed: Mapping[str, str | None], place: str) -> Specification:
    name = typed["type"]
    kind = None if name is None else _kind(name)
    if name is not None and kind is None:
        raise BadReference(
            f"the type {quoted(name)} of {quoted(text)} is not known: use ctf, {ARCHIVE} or {REGISTRY}"
        )
    file_format = typed["format"] or (name if name in ctf.FORMATS else "") or ""
    if file_format not in ("", *ctf.FORMATS):
        raise BadReference(
            f"the format {quoted(file_format)} of {quoted(text)} is not known: use {', '.join(ctf.FORMATS)}"
        )
    if kind == REGISTRY or (kind is None and _is_registry(text, place)):
        return _registry(place, text)
    return Specification(kind or FILE, path=place, file_format=file_format)


def _is_registry(text: str, place: str) -> bool:
    if _SCHEMED.fullmatch(place):
        return True
    if not _HOST.fullmatch(place.partition("/")[0]):
        return False
    if os.path.exists(place):
        raise BadReference(
            f"{quoted(text)} can be a file and a registry: write ./{place} for the file, {REGISTRY}::{place} for the "
            "other"
        )
    return True


def _registry(place: str, text: str) -> Specification:
    match = _SCHEMED.fullmatch(place)
    host, _, sub_path = (match["rest"] if match else place).rstrip("/").partition("/")
    plain = match is not None and match["scheme"] == "http"
    # The host comes first: before it may be a password, which no message repeats.
    host = parse_registry(place if "@" in place else host)
    _check_prefix(sub_path, text)
    return Specification(REGISTRY, host=host, sub_path=sub_path, plain=plain)


def _check_prefix(sub_path: str, text: str) -> None:
    if sub_path and not re.fullmatch(rf"{_PART}(?:/{_PART})*", sub_path):
        raise BadReference(
            f"the prefix {quoted(sub_path)} of {quoted(text)} is malformed: it is a path of lower-case letters"
        )
