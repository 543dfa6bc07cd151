"""Strings as bytes: the language counts and cuts strings in bytes of UTF-8.

Bytes that are no UTF-8 (decoded base64, half a character) are kept in a str as lone surrogates, so that nothing
is lost until the value is written out.
"""


def to_bytes(text: str) -> bytes:
    """Return the bytes of a string."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def to_text(data: bytes) -> str:
    """Return the string that has these bytes."""
    return data.decode("utf-8", "surrogateescape")
