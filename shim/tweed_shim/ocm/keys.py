"""Public keys, and the RSA signatures that they verify (RFC 8017: RSASSA-PKCS1-v1_5 and RSASSA-PSS).

They need the package `cryptography`, which the extra `crypto` brings.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tweed_shim import extras
from tweed_shim.errors import ComponentError, ConfigError, HostError, Unverifiable
from tweed_shim.ocm.descriptor import HASHES, Signature
from tweed_shim.option_names import option
from tweed_shim.records import Record

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PKCS1 = "RSASSA-PKCS1-V1_5"
PSS = "RSASSA-PSS"

HEXADECIMAL = ("application/vnd.ocm.signature.rsa", "application/vnd.ocm.signature.rsa.pss")
PEM = "application/x-pem-file"

# NIST SP 800-131A: shorter ones are disallowed since 2014.
LEAST_BITS = 2048

_LARGEST_FILE = 1 << 20
_PEM_SIGNATURE = re.compile(
    r"-----BEGIN SIGNATURE-----\r?\n(?P<headers>(?:[^\n:]+:[^\n]*\n)*)"
    r"(?P<body>[A-Za-z0-9+/=\s]*)-----END SIGNATURE-----"
)


class PublicKey(Record):
    """An RSA key; `what` names it in messages. certificate: the one that it is from, if any."""

    what: str
    key: "RSAPublicKey"
    certificate: "x509.Certificate | None" = None


def load(path: str, *, at: datetime | None = None) -> PublicKey:
    """Read a public key from a file, see `parse`. Raises ConfigError, and HostError where the extra is missing."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_FILE)
    except OSError as error:
        raise ConfigError(
            f"the public key {path} cannot be read ({error.strerror}): name another file"
        ) from None
    return parse(data, f"the public key {path}", at=at)


def parse(data: bytes, what: str, *, at: datetime | None = None) -> PublicKey:
    """Read a public key in PEM, or that of the first certificate.

    at: when a certificate has to be valid, now by default. Raises ConfigError for what is no such key, for one of less
    than LEAST_BITS bits, and for a certificate outside its time; HostError where the extra is missing.
    """
    x509, serialization, rsa = _library(
        "x509", "hazmat.primitives.serialization", "hazmat.primitives.asymmetric.rsa"
    )
    certificate = None
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            certificate = x509.load_pem_x509_certificate(data)
            key = certificate.public_key()
        else:
            key = serialization.load_pem_public_key(data)
    except Exception:  # noqa: BLE001 - the library raises many kinds for what is malformed
        raise ConfigError(
            f"{what} is neither a public key nor a certificate in PEM: export it as 'BEGIN PUBLIC KEY'"
        ) from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise ConfigError(f"{what} is no RSA key, and no other signatures are known: name another file")
    if key.key_size < LEAST_BITS:
        raise ConfigError(
            f"{what} has {key.key_size} bits, and RSA keys of less than {LEAST_BITS} can be broken: have the component "
            "version signed with a larger one"
        )
    if certificate is not None:
        _check_time(certificate, what, at or datetime.now(UTC))
    return PublicKey(what, key, certificate)


def _check_time(certificate: "x509.Certificate", what: str, time: datetime) -> None:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= time <= last:
        raise ConfigError(
            f"{what} is valid from {_shown(first)} to {_shown(last)} and not at {_shown(time)}: name one that is, or a "
            f"time at which this one was with {option('--at')}"
        )


def _shown(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def verify(key: PublicKey, signature: Signature, what: str) -> None:
    """Verify the signature of a digest, which is taken as it is there.

    Raises ComponentError where it does not hold, and Unverifiable where it is of an unknown kind.
    """
    exceptions, hashes, utils = _library(
        "exceptions", "hazmat.primitives.hashes", "hazmat.primitives.asymmetric.utils"
    )
    _check_issuer(key, signature, what)
    algorithm = {"sha256": hashes.SHA256, "sha512": hashes.SHA512}[HASHES[signature.digest.hash_algorithm]]()
    try:
        digest = bytes.fromhex(signature.digest.value)
        key.key.verify(
            _bytes(signature, what), digest, _padding(signature, algorithm, what), utils.Prehashed(algorithm)
        )
    except (exceptions.InvalidSignature, ValueError):
        raise ComponentError(
            f"{what} was not made with {key.what}: do not use it, or verify it with another key"
        ) from None


def _library(*names: str) -> list[Any]:
    import importlib

    try:
        return [importlib.import_module(f"cryptography.{name}") for name in names]
    except ImportError:
        raise HostError(extras.missing("the verification of a signature", "cryptography", "crypto")) from None


def _padding(signature: Signature, algorithm: Any, what: str) -> Any:
    [padding] = _library("hazmat.primitives.asymmetric.padding")
    if signature.value.algorithm == PKCS1:
        return padding.PKCS1v15()
    if signature.value.algorithm == PSS:
        return padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)
    raise Unverifiable(
        f"{what} is of the kind {signature.value.algorithm!r}, which is not known here: sign with {PKCS1} or {PSS}"
    )


def _bytes(signature: Signature, what: str) -> bytes:
    value = signature.value
    if value.media_type in HEXADECIMAL:
        return bytes.fromhex(value.value)
    match = _PEM_SIGNATURE.search(value.value) if value.media_type == PEM else None
    if match is None:
        raise Unverifiable(f"{what} is written as {value.media_type!r}, which cannot be read: sign it again")
    algorithm = re.search(r"^Signature Algorithm:\s*(\S+)\s*$", match["headers"], re.MULTILINE)
    if algorithm is not None and algorithm[1] != value.algorithm:
        raise ComponentError(
            f"{what} names two algorithms, {value.algorithm} and {algorithm[1]}: sign it again"
        )
    try:
        return base64.b64decode(match["body"], validate=False)
    except binascii.Error:
        raise ComponentError(f"{what} is damaged: it is not base64; sign it again") from None


def _check_issuer(key: PublicKey, signature: Signature, what: str) -> None:
    """Who signed, by the signature's own words, must be whom the certificate is for."""
    issuer = signature.value.issuer
    if key.certificate is None or not issuer or issuer == key.certificate.subject.rfc4514_string():
        return
    [x509] = _library("x509")
    try:
        claimed = {(each.oid, each.value) for each in x509.Name.from_rfc4514_string(issuer)}
        agreed = claimed <= {(each.oid, each.value) for each in key.certificate.subject}
    except ValueError:
        agreed = False
    if not agreed:
        raise ComponentError(
            f"{what} says that {issuer!r} made it, and {key.what} is for "
            f"{key.certificate.subject.rfc4514_string()!r}: verify it with another key"
        )
