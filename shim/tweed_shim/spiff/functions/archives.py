"""Tar archives with values as files."""

from __future__ import annotations

import gzip
import io
import tarfile

from tweed_shim.base.records import Record
from tweed_shim.spiff.functions import content
from tweed_shim.spiff.functions.encodings import to_bytes
from tweed_shim.spiff.functions.permission import file_path
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.functions.strings import LINE, from_base64, in_base64
from tweed_shim.spiff.tree.nodes import type_name
from tweed_shim.spiff.tree.values import Fault, Value

_FILE = content.Options(mode=0o644)


class _Entry(Record):
    path: str
    mode: int
    data: bytes


@function("archive", 1, 2)
def archive(call: Call, files: Value, kind: Value = "tar") -> Value:
    """Return a tar archive of files in base64. All times are 0, so that the same files make the same archive."""
    if not isinstance(kind, str):
        raise Fault("second argument for archive must be a string")
    entries = _entries(files)
    if kind not in ("tar", "targz"):
        raise Fault(f"invalid archive type '{kind}'")
    data = _tar(entries)
    return in_base64(gzip.compress(data, mtime=0) if kind == "targz" else data, LINE)


def _entries(files: Value) -> list[_Entry]:
    if files is None:
        return []
    if isinstance(files, dict):
        return [_of_key(name, files[name]) for name in sorted(files, key=to_bytes) if files[name] is not None]
    if not isinstance(files, list):
        raise Fault(f"first argument for archive must be a file map or list, found {type_name(files)}")
    for entry in files:
        if not isinstance(entry, dict):
            raise Fault(f"invalid file content type {type_name(entry)}")
    return [_described(entry, None) for entry in files]


def _of_key(name: str, value: Value) -> _Entry:
    if isinstance(value, dict):
        return _described(value, name)
    tags, path = content.tagged(name)
    how = content.Options(_FILE.mode, binary="#" in tags and isinstance(value, str))
    return _Entry(file_path(path), _FILE.mode, content.data(value, how)[1])


def _field(entry: dict[str, Value], name: str) -> Value:
    if name in entry and entry[name] is None:
        raise Fault(f"{name} field must not be nil")
    return entry.get(name)


def _described(entry: dict[str, Value], name: str | None) -> _Entry:
    """Return an entry from the fields that describe it; `name` is its key in a map."""
    path = _field(entry, "path")
    if path is None and name is None:
        raise Fault("path field required")
    if path is not None and not isinstance(path, str):
        raise Fault(f"path field must be string, found {type_name(path)}")
    tags, own = content.tagged(name or "")
    mode = _field(entry, "mode")
    how = _FILE if mode is None else content.options(mode, _FILE)
    bits = how.mode | (0o100 if "*" in tags else 0)
    return _Entry(own if path is None else path, bits, _data(entry, how))


def _data(entry: dict[str, Value], how: content.Options) -> bytes:
    coded = _field(entry, "base64")
    if coded is None:
        return content.data(_field(entry, "data"), how)[1]
    if not isinstance(coded, str):
        raise Fault(f"base64 field must be string, found {type_name(coded)}")
    try:
        return from_base64(coded)
    except ValueError as error:
        raise Fault(f"base64 field: {error}") from None


def _tar(entries: list[_Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            member = tarfile.TarInfo(entry.path)
            member.mode, member.size = entry.mode, len(entry.data)
            tar.addfile(member, io.BytesIO(entry.data))
    return buffer.getvalue()
