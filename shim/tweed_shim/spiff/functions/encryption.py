"""Encrypt values with a password, in the format of the reference's only method, `3DES`.

The format is a hexadecimal text: an initialisation vector of 8 bytes, then, encrypted with 3DES in CBC mode, the value
as YAML, its HMAC-SHA256, and padding. Each byte of the padding is the length of the padding less one (as in TLS,
RFC 5246, section 6.2.3.2). The first 16 bytes of the key come from the password followed by the MD5 sum of nothing;
its last 8 bytes are its first 8. This only hides secrets from a casual look: it is not strong encryption.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

from tweed_shim.spiff.functions.encodings import to_bytes, to_text
from tweed_shim.spiff.functions.extras import crypto_extra
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.nodes import type_name
from tweed_shim.spiff.tree.output import to_yaml
from tweed_shim.spiff.tree.values import Fault, Value

_METHOD = "3DES"
_BLOCK = 8
_MAC_KEY = b"spiff is a cool tool"
_MAC_SIZE = 32
_MD5_OF_NOTHING = hashlib.md5(b"", usedforsecurity=False).digest()


@function("encrypt", 1, 3)
def encrypt(call: Call, value: Value, *choices: Value) -> Value:
    """Encrypt a value with the password that is the second argument, or with the merge's own."""
    return encrypted(to_yaml(value), _password(call, choices))


@function("decrypt", 1, 3)
def decrypt(call: Call, secret: Value, *choices: Value) -> Value:
    """Return the value that was encrypted."""
    if not isinstance(secret, str):
        raise Fault(f"decrypt requires string, but got {type_name(secret)}")
    return call.parse(decrypted(secret, _password(call, choices)), "import", "<decrypt>")


def _password(call: Call, choices: tuple[Value, ...]) -> str:
    """Choose the password. `choices` are the password, the method, or both."""
    for choice in choices:
        if not isinstance(choice, str):
            raise Fault(f"{call.name}: password and method require string, but got {type_name(choice)}")
    password, method = call.encryption_key, _METHOD
    if len(choices) == 2:
        password, method = choices
    elif choices and choices[0] != _METHOD:
        password = choices[0]
    if method != _METHOD:
        raise Fault(f'invalid encryption method "{method}"')
    if not password:
        raise Fault("invalid empty encryption key")
    return password


def encrypted(text: str, password: str) -> str:
    """Encrypt a text in the format above. Raises Fault where the extra is not installed."""
    data = to_bytes(text)
    data += hmac.digest(_MAC_KEY, data, "sha256")
    padding = -(len(data) + 1) % _BLOCK
    vector = secrets.token_bytes(_BLOCK)
    encryptor = _cipher(password, vector).encryptor()
    secret = encryptor.update(data + bytes([padding]) * (padding + 1)) + encryptor.finalize()
    return (vector + bytes(secret)).hex()


def decrypted(secret: str, password: str) -> str:
    """Decrypt a text. Raises Fault where it was encrypted with another password."""
    try:
        data = bytes.fromhex(secret)
    except ValueError:
        raise Fault("invalid key: the encrypted text is not hexadecimal") from None
    if len(data) < 2 * _BLOCK or len(data) % _BLOCK:
        raise Fault("invalid key: the encrypted text is not as long as a multiple of the block size")
    decryptor = _cipher(password, data[:_BLOCK]).decryptor()
    plain = bytes(decryptor.update(data[_BLOCK:]) + decryptor.finalize())
    end = len(plain) - plain[-1] - 1
    text, mac = plain[: max(end - _MAC_SIZE, 0)], plain[max(end - _MAC_SIZE, 0) : max(end, 0)]
    if not text or not hmac.compare_digest(mac, hmac.digest(_MAC_KEY, text, "sha256")):
        raise Fault("invalid key: the text was encrypted with another one, or has been changed")
    return to_text(text)


def _cipher(password: str, vector: bytes) -> Any:
    with crypto_extra("encryption"):
        from cryptography.hazmat.primitives.ciphers import Cipher, modes

        try:
            from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
        except ImportError:  # before version 43
            from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES
    key = (to_bytes(password) + _MD5_OF_NOTHING)[:16]
    return Cipher(TripleDES(key + key[:8]), modes.CBC(vector))
