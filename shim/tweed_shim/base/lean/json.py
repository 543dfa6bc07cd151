"""`json.loads` and `json.dumps` without their options, for the warm path: `json` itself imports `re`.

The work is done by `_json`, the part of `json` that is compiled into the interpreter. Where that fails, the real `json`
gets the text, so results and errors are the same.
"""

from tweed_shim.base.lean.typing import Any

_WHITESPACE = " \t\n\r"


class _Reading:
    """What the scanner wants to know: the defaults of `json.JSONDecoder`."""

    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = parse_constant = float
    parse_int = int


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no form in JSON")


try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner

    reading: Any = _Reading
    _scan: Any = make_scanner(reading)
    _chunks: Any = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, True)
except (ImportError, AttributeError, TypeError):  # another interpreter, or a later one
    _scan = _chunks = None


def loads(data: str | bytes | bytearray) -> Any:
    """Return the value of a JSON text (RFC 8259). Raises ValueError."""
    try:
        text = (data if isinstance(data, str) else data.decode()).strip(_WHITESPACE)
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    # SystemError: before Python 3.13 the scanner fails without an exception of its own where `json` is not imported.
    except (TypeError, ValueError, StopIteration, SystemError):
        pass
    import json

    return json.loads(data)


def dumps(value: object) -> str:
    """Return a value that holds no part of itself as JSON text in ASCII. Raises TypeError where it has no such form."""
    if _chunks is not None:
        return "".join(_chunks(value, 0))
    import json

    return json.dumps(value)
