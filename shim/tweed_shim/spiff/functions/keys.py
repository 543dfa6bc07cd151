"""Keys and certificates of X.509 in PEM (RFC 7468): make and read them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tweed_shim.spiff.functions.arguments import parse_integer
from tweed_shim.spiff.functions.extras import crypto_extra
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.tree.values import Fault, Value, is_integer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
    from cryptography.x509 import Certificate

    PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey
    PublicKey = RSAPublicKey | EllipticCurvePublicKey

_BLOCK = re.compile(
    r"-----BEGIN (?P<kind>[^\n-]*)-----[ \t\r]*\n(?P<body>[^-]*)-----END (?P=kind)-----", re.ASCII
)
_COLUMNS = 64
_CURVES = {"P224": "SECP224R1", "P256": "SECP256R1", "P384": "SECP384R1", "P521": "SECP521R1"}
_PRIVATE_KINDS = ("RSA PRIVATE KEY", "EC PRIVATE KEY")
_LARGEST_RSA = 16384


def in_pem(kind: str, data: bytes) -> str:
    """Return a block of PEM, which ends in a newline."""
    text = base64.b64encode(data).decode("ascii")
    lines = [text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])


def _block(text: str, what: str) -> tuple[str, bytes]:
    """Read the first block of a PEM text: return its kind and its content. Raises ValueError."""
    match = _BLOCK.search(text)
    if match is None:
        raise ValueError(f"invalid {what} format (expected pem block)")
    try:
        return match["kind"], base64.b64decode("".join(match["body"].split()), validate=True)
    except binascii.Error:
        raise ValueError(f"invalid {what} format (expected pem block)") from None


def private_key(call: Call, text: str) -> PrivateKey:
    """Read a private key, RSA (PKCS#1) or ECDSA (SEC 1), from a PEM text. Raises ValueError and Fault."""
    kind, data = _block(text, "private key")
    if kind not in _PRIVATE_KINDS:
        raise ValueError(f'invalid pem block type "{kind}"')
    with crypto_extra(call.name):
        from cryptography.hazmat.primitives.serialization import load_der_private_key
    key: PrivateKey = _supported(load_der_private_key, data, None)
    return key


def public_key(call: Call, text: str) -> PublicKey:
    """Read a public key, RSA or ECDSA, from a PEM text. Raises ValueError and Fault."""
    _, data = _block(text, "public key")
    with crypto_extra(call.name):
        from cryptography.hazmat.primitives.serialization import load_der_public_key
    key: PublicKey = _supported(load_der_public_key, data)
    return key


def _supported(load: Callable[..., Any], *arguments: Any) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    try:
        key = load(*arguments)
    except (UnsupportedAlgorithm, TypeError) as error:
        raise ValueError(f"unsupported key: {error}") from None
    if not isinstance(
        key, (rsa.RSAPrivateKey, rsa.RSAPublicKey, ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)
    ):
        raise ValueError("unknown type of key")
    return key


def certificate(call: Call, text: str) -> Certificate:
    """Read a certificate from a PEM text. Raises ValueError and Fault."""
    kind, data = _block(text, "certificate")
    if kind != "CERTIFICATE":
        raise ValueError(f'unexpected pem block type for certificate: "{kind}"')
    with crypto_extra(call.name):
        from cryptography.x509 import load_der_x509_certificate
    return load_der_x509_certificate(data)


def public_of(key: Any) -> PublicKey:
    """Return the public key of a private key or certificate. Raises ValueError for other kinds of keys."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    public = key.public_key() if hasattr(key, "public_key") else key
    if not isinstance(public, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        raise ValueError("unknown type of public key")
    return public


def public_pem(key: PublicKey, *, generic: bool = False) -> str:
    """Return a public key in PEM: RSA in PKCS#1, or in PKIX (RFC 5280) if `generic`."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if isinstance(key, RSAPublicKey) and not generic:
        return in_pem("RSA PUBLIC KEY", key.public_bytes(Encoding.DER, PublicFormat.PKCS1))
    kind = "PUBLIC KEY" if isinstance(key, RSAPublicKey) else "ECDSA PUBLIC KEY"
    return in_pem(kind, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def objection(call: Call, what: str, text: str) -> str | None:
    """Return why a text is no `publickey`, `privatekey`, `certificate` or `ca`; None if it is. Raises Fault."""
    try:
        if what in ("publickey", "privatekey"):
            words = what.replace("key", " key")
            (public_key if what == "publickey" else private_key)(call, text)
            return None
        words = "certificate"
        parsed = certificate(call, text)
        return None if what == "certificate" or is_ca(parsed) else "is no ca certificate"
    except ValueError as error:
        return f"is no {words}: {error}"


def is_ca(parsed: Certificate) -> bool:
    """Return whether a certificate is that of a certificate authority."""
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    try:
        return parsed.extensions.get_extension_for_class(BasicConstraints).value.ca
    except ExtensionNotFound:
        return False


@function("x509genkey", 0, 1)
def x509genkey(call: Call, spec: Value = 2048) -> Value:
    """Make a private key in PEM: RSA with a number of bits, or ECDSA on a curve."""
    bits = parse_integer(spec) if isinstance(spec, str) else spec
    if bits is not None and not is_integer(bits):
        raise Fault(f"argument for {call.name} must be a string or integer")
    with crypto_extra(call.name):
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    key: PrivateKey
    if bits is None:
        if spec not in _CURVES:
            raise Fault(f'Unrecognized elliptic curve: "{spec}"')
        key, kind = ec.generate_private_key(getattr(ec, _CURVES[spec])()), "EC PRIVATE KEY"
    else:
        if bits > _LARGEST_RSA:
            raise Fault(f"failed to generate private key: more than {_LARGEST_RSA} bits take too long")
        try:
            key, kind = rsa.generate_private_key(65537, bits), "RSA PRIVATE KEY"
        except (ValueError, OverflowError) as error:
            raise Fault(f"failed to generate private key: {error}") from None
    return in_pem(kind, key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


@function("x509publickey", 1, 2)
def x509publickey(call: Call, text: Value, form: Value = "pem") -> Value:
    """Return the public key of a key or certificate in the form `pem`, `pkix` or `ssh`."""
    if not isinstance(form, str):
        raise Fault(f"format argument for {call.name} must be a string")
    if form.lower() not in ("pem", "pkix", "ssh"):
        raise Fault(f"invalid format for {call.name}: {form}")
    if not isinstance(text, str):
        raise Fault(f"argument for {call.name} must be a private key in pem format")
    key = _any_public(call, text)
    if form.lower() != "ssh":
        return public_pem(key, generic=form.lower() == "pkix")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii") + "\n"
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Fault(str(error)) from None


def _any_public(call: Call, text: str) -> PublicKey:
    reason = ""
    for read in (private_key, public_key, certificate):
        try:
            return public_of(read(call, text))
        except ValueError as error:
            reason = reason or str(error)
    raise Fault(
        f"argument for {call.name} must be a private/public key or certificate in pem format: {reason}"
    )
