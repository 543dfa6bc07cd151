"""Hashes of strings, and of passwords: bcrypt, and Apache's variant of md5crypt."""

from __future__ import annotations

import hashlib
import secrets

from tweed_shim.spiff.functions.arguments import integer, string
from tweed_shim.spiff.functions.encodings import to_bytes
from tweed_shim.spiff.functions.extras import crypto_extra
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.values import Fault, Value

_NAMES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha512/224", "sha512/256")
# The reference's md4 is the data followed by the hash of nothing, as Go's `hash.Sum(data)` returns it.
_MD4_OF_NOTHING = "31d6cfe0d16ae931b73c59d7e0c089c0"
_LONGEST_PASSWORD = 72

_MAGIC = b"$apr1$"
_SALT_LENGTH = 8
_ROUNDS = 1000
_ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The bytes of the digest that make four characters each (the last: two), the highest bits first.
_TRIPLES = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5), (11,))


@function("md5", 1, 1)
def md5(call: Call, text: Value) -> Value:
    """Return the MD5 sum of a string, in hexadecimal."""
    return _digest("md5", to_bytes(string(call, 0, text)))


@function("hash", 1, 2)
def hash_(call: Call, text: Value, kind: Value = "sha256") -> Value:
    """Return a hash of a string, in hexadecimal."""
    name = string(call, 1, kind)
    data = to_bytes(string(call, 0, text))
    if name == "md4":
        return data.hex() + _MD4_OF_NOTHING
    if name not in _NAMES:
        raise Fault(f"invalid hash type '{name}'")
    return _digest(name.replace("/", "_"), data)


def _digest(name: str, data: bytes) -> str:
    return hashlib.new(name, data, usedforsecurity=False).hexdigest()


@function("bcrypt", 1, 2)
def bcrypt(call: Call, password: Value, cost: Value = 10) -> Value:
    """Return a bcrypt hash of a password, made in two to the power of `cost` rounds."""
    data, rounds = to_bytes(string(call, 0, password)), integer(call, 1, cost)
    if rounds > 31:
        raise Fault(f"bcrypt error: cost {rounds} is outside the range from 4 to 31")
    if len(data) > _LONGEST_PASSWORD:
        raise Fault(f"bcrypt error: password length exceeds {_LONGEST_PASSWORD} bytes")
    with crypto_extra(call.name):
        from bcrypt import gensalt, hashpw
    try:
        return hashpw(data, gensalt(rounds if rounds >= 4 else 10, prefix=b"2a")).decode("ascii")
    except ValueError as error:
        raise Fault(f"bcrypt error: {error}") from None


@function("bcrypt_check", 2, 2)
def bcrypt_check(call: Call, password: Value, hashed: Value) -> Value:
    """Return whether a bcrypt hash is that of a password."""
    data, expected = to_bytes(string(call, 0, password)), to_bytes(string(call, 1, hashed))
    with crypto_extra(call.name):
        from bcrypt import checkpw
    try:
        return len(data) <= _LONGEST_PASSWORD and checkpw(data, expected)
    except ValueError:
        return False


@function("md5crypt", 1, 1)
def md5crypt(call: Call, password: Value) -> Value:
    """Return an Apache MD5 hash of a password, with a new salt."""
    salt = "".join([secrets.choice(_ITOA64) for _ in range(_SALT_LENGTH)])
    return _md5crypt(to_bytes(string(call, 0, password)), salt.encode("ascii"), _MAGIC)


@function("md5crypt_check", 2, 2)
def md5crypt_check(call: Call, password: Value, hashed: Value) -> Value:
    """Return whether an Apache MD5 hash is that of a password."""
    data, expected = to_bytes(string(call, 0, password)), string(call, 1, hashed)
    parts = expected.split("$")
    if len(parts) != 4:
        raise Fault("invalid md5crypt hash: must contain three '$' characters")
    return _md5crypt(data, to_bytes(parts[2]), to_bytes(f"${parts[1]}$")) == expected


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _md5crypt(password: bytes, salt: bytes, magic: bytes) -> str:
    """Hash a password as Poul-Henning Kamp's scheme for FreeBSD does; only the magic of Apache's is different."""
    inner = _md5(password + salt + password)
    data = password + magic + salt + (inner * (len(password) // 16 + 1))[: len(password)]
    length = len(password)
    while length:
        data += b"\0" if length & 1 else password[:1]
        length >>= 1
    digest = _md5(data)
    for number in range(_ROUNDS):
        odd = number & 1
        digest = _md5(
            (password if odd else digest)
            + (salt if number % 3 else b"")
            + (password if number % 7 else b"")
            + (digest if odd else password)
        )
    return f"{magic.decode()}{salt.decode('utf-8', 'surrogateescape')}${_in_itoa64(digest)}"


def _in_itoa64(digest: bytes) -> str:
    characters = []
    for places in _TRIPLES:
        number = int.from_bytes(bytes([digest[index] for index in places]), "big")
        for _ in range(len(places) + 1):
            characters.append(_ITOA64[number & 0x3F])
            number >>= 6
    return "".join(characters)
