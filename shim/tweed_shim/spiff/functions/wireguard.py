"""WireGuard's keys, 32 bytes in base64: keys of Curve25519 (RFC 7748), and random preshared keys."""

from __future__ import annotations

import secrets

from tweed_shim.spiff.functions.extras import crypto_extra
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.functions.strings import from_base64, in_base64
from tweed_shim.spiff.tree.values import Fault, Value

_LENGTH = 32


@function("wggenkey", 0, 1)
def wggenkey(call: Call, kind: Value = "private") -> Value:
    """Make a key of the kind `private` or `preshared`."""
    if not isinstance(kind, str):
        raise Fault(f"argument for {call.name} must be a string (private or preshared)")
    if kind not in ("private", "preshared"):
        raise Fault(f'invalid key type "{kind}", use private or preshared')
    key = bytearray(secrets.token_bytes(_LENGTH))
    if kind == "private":
        # RFC 7748, section 5: these bits of a scalar have fixed values.
        key[0] &= 0xF8
        key[31] = key[31] & 0x7F | 0x40
    return in_base64(bytes(key))


@function("wgpublickey", 1, 1)
def wgpublickey(call: Call, key: Value) -> Value:
    """Return the public key of a private one."""
    if not isinstance(key, str):
        raise Fault(f"argument for {call.name} must be a private wireguard key (string)")
    try:
        private = from_base64(key)
    except ValueError as error:
        raise Fault(f"error parsing key: {error}") from None
    if len(private) != _LENGTH:
        raise Fault(f"error parsing key: incorrect key size: {len(private)}")
    with crypto_extra(call.name):
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    return in_base64(X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())
