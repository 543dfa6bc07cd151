"""Write values as YAML or JSON; read texts, files and URLs."""

from __future__ import annotations

from tweed_shim.base import files
from tweed_shim.errors import ConfigError
from tweed_shim.spiff.functions.encodings import to_bytes, to_text
from tweed_shim.spiff.functions.locations import clean_path
from tweed_shim.spiff.functions.permission import file_path, need_files
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.functions.strings import LINE, in_base64
from tweed_shim.spiff.tree.output import to_json, to_yaml
from tweed_shim.spiff.tree.values import MAX_TEXT, Fault, Value

_YAML_ENDINGS = (".yml", ".yaml", ".json")
# Seconds that a server may take to answer.
_TIMEOUT = 30


@function("asjson", 1, 1)
def asjson(call: Call, value: Value) -> Value:
    """Return a value as JSON."""
    try:
        return to_json(value)
    except Fault as fault:
        raise Fault(f"cannot jsonencode: {fault}") from None


@function("asyaml", 1, 1)
def asyaml(call: Call, value: Value) -> Value:
    """Return a value as a YAML document."""
    return to_yaml(value)


@function("parse", 1, 2)
def parse(call: Call, text: Value, mode: Value = "import") -> Value:
    """Return the value of a document's text. By default its expressions are not evaluated."""
    if not isinstance(text, str):
        raise Fault("first argument for parse must be a string")
    if not isinstance(mode, str):
        raise Fault("second argument for parse must be a string")
    return _content(call, to_bytes(text), mode, ".".join(call.path))


def _content(call: Call, data: bytes, mode: str, name: str) -> Value:
    if mode.removeprefix(".") == "binary":
        return in_base64(data, LINE)
    return call.parse(to_text(data), mode, name)


@function("read", 1, 2)
def read(call: Call, file: Value, mode: Value = None) -> Value:
    """Return the content of a file or URL: YAML where the name ends like it, else text. Each is read once."""
    return _read(call, file, mode, cached=True)


@function("read_uncached", 1, 2)
def read_uncached(call: Call, file: Value, mode: Value = None) -> Value:
    """Read a file or URL as `read` does, but each time."""
    return _read(call, file, mode, cached=False)


def _read(call: Call, file: Value, mode: Value, *, cached: bool) -> Value:
    need_files(call, "read")
    if not isinstance(file, str):
        raise Fault("string value required for file path")
    kind = ("yaml" if file.endswith(_YAML_ENDINGS) else "text") if mode is None else mode
    if not isinstance(kind, str):
        raise Fault("string value required for type")
    path = file_path(file)
    key = ("read", path)
    if not cached or key not in call.cache:
        call.cache[key] = _fetched(path) if path.startswith(("http:", "https:")) else _loaded(path)
    return _content(call, call.cache[key], kind, file)


def _loaded(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return files.read_bounded(file, MAX_TEXT, clean_path(path))
    except ConfigError as error:
        raise Fault(f"read: {error}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Fault(f"read: error reading [{clean_path(path)}]: open {path}: {reason.lower()}") from None


def _fetched(text: str) -> bytes:
    from http.client import HTTPException
    from urllib.request import urlopen

    from tweed_shim.errors import BadUrl
    from tweed_shim.http import urls

    try:
        url = str(urls.parse(text))
    except BadUrl as error:
        raise Fault(f"read: error getting a URL: {error}") from None
    try:
        with urlopen(url, timeout=_TIMEOUT) as response:  # noqa: S310 - it is http or https
            return bytes(response.read())
    except (OSError, ValueError, HTTPException) as error:
        raise Fault(f"read: error getting [{url}]: {error}") from None
