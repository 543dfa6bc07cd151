"""Convert between strings and bytes: like Go, the language counts and cuts strings in bytes of UTF-8.

Bytes that are not UTF-8 (decoded base64, half a character) are lone surrogates in a str, so that nothing is lost
until the value is written.
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
