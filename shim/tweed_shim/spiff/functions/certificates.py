"""X.509 certificates: issued, and taken apart (RFC 5280)."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from tweed_shim.spiff.functions import keys
from tweed_shim.spiff.functions.arguments import is_integer, parse_bool, parse_integer
from tweed_shim.spiff.functions.extras import crypto_extra
from tweed_shim.spiff.functions.networks import parse_ip
from tweed_shim.spiff.functions.registry import Call, function
from tweed_shim.spiff.values import Fault, Value, simple_text, type_name

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateBuilder, Name

# Not of the locale, as strptime has them.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TIME = "%m %d %H:%M:%S %Y"
_DEFAULT_HOURS = 24 * 365
# What a certificate asks for, what a parsed one tells, and cryptography's name, in the order of their bits.
_USAGES = (
    ("signature", "Signature", "digital_signature"),
    ("commitment", "ContentCommitment", "content_commitment"),
    ("keyencipherment", "KeyEncipherment", "key_encipherment"),
    ("dataencipherment", "DataEncipherment", "data_encipherment"),
    ("keyagreement", "KeyAgreement", "key_agreement"),
    ("certsign", "CertSign", "key_cert_sign"),
    ("crlsign", "CRLSign", "crl_sign"),
    ("encipheronly", "EncipherOnly", "encipher_only"),
    ("decipheronly", "DecipherOnly", "decipher_only"),
)
_EXTENDED_USAGES = {
    "Any": "2.5.29.37.0",
    "ServerAuth": "1.3.6.1.5.5.7.3.1",
    "ClientAuth": "1.3.6.1.5.5.7.3.2",
    "CodeSigning": "1.3.6.1.5.5.7.3.3",
    "EmailProtection": "1.3.6.1.5.5.7.3.4",
    "IPSECEndSystem": "1.3.6.1.5.5.7.3.5",
    "IPSECTunnel": "1.3.6.1.5.5.7.3.6",
    "IPSECUser": "1.3.6.1.5.5.7.3.7",
    "TimeStamping": "1.3.6.1.5.5.7.3.8",
    "OCSPSigning": "1.3.6.1.5.5.7.3.9",
    "MicrosoftServerGatedCrypto": "1.3.6.1.4.1.311.10.3.3",
    "NetscapeServerGatedCrypto": "2.16.840.1.113730.4.1",
    "MicrosoftCommercialCodeSigning": "1.3.6.1.4.1.311.2.1.22",
    "MicrosoftKernelCodeSigning": "1.3.6.1.4.1.311.61.1.1",
}
_HASHES = {"secp384r1": "SHA384", "secp521r1": "SHA512"}


class _Fields:
    """The fields of a certificate's description. Those that are wrong raise Fault."""

    def __init__(self, fields: dict[str, Value]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        text = "" if value is None else simple_text(value)
        if text is None:
            raise Fault(f'invalid type for "{name}"')
        return text

    def texts(self, name: str) -> list[str]:
        value = self._fields.get(name)
        if value is None:
            return []
        found = [simple_text(entry) for entry in (value if isinstance(value, list) else [value])]
        if None in found:
            element = " list element" if isinstance(value, list) else ""
            raise Fault(f'invalid{element} type for "{name}"')
        return [text for text in found if text is not None]

    def flag(self, name: str) -> bool:
        value = self._fields.get(name)
        flag = parse_bool(value) if isinstance(value, str) else value
        if value is not None and not isinstance(flag, int):
            raise Fault(f'invalid type for boolean field "{name}"')
        return bool(flag)

    def hours(self, name: str) -> int:
        value = self._fields.get(name)
        number = parse_integer(value) if isinstance(value, str) else value
        if number is None and value is None:
            return _DEFAULT_HOURS
        if not is_integer(number):
            raise Fault(f'invalid type for "{name}"')
        return number


class _Issuer(NamedTuple):
    """Who signs: the certificate of a CA, or None for whom it is about; and the key."""

    certificate: Certificate | None
    key: Any


@function("x509cert", 1, 1)
def x509cert(call: Call, spec: Value) -> Value:
    """A certificate in PEM, self-signed or signed by a CA, as a map describes it."""
    if not isinstance(spec, dict):
        raise Fault(f"argument for {call.name} must be a map (found {type_name(spec)})")
    fields = _Fields(spec)
    with crypto_extra(call.name):
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.serialization import Encoding
    try:
        private = keys.private_key(call, fields.text("privateKey")) if fields.text("privateKey") else None
        public = keys.public_key(call, fields.text("publicKey")) if fields.text("publicKey") else None
        if public is None:
            if private is None:
                raise Fault("one of 'publicKey' or 'privateKey' must be given")
            public = keys.public_of(private)
        issuer = _issuer(call, fields, private)
        builder = _described(fields, public, issuer.certificate)
        curve = getattr(getattr(issuer.key, "curve", None), "name", "")
        signed = builder.sign(issuer.key, getattr(hashes, _HASHES.get(curve, "SHA256"))())
        return keys.in_pem("CERTIFICATE", signed.public_bytes(Encoding.DER))
    except (ValueError, OverflowError, TypeError) as error:
        raise Fault(f"failed to create certificate: {error}") from None


def _issuer(call: Call, fields: _Fields, private: Any) -> _Issuer:
    if not fields.text("caCert"):
        if private is None:
            raise Fault("private key for self-signed certificate required")
        return _Issuer(None, private)
    try:
        authority = keys.certificate(call, fields.text("caCert"))
    except ValueError as error:
        raise Fault(f"invalid ca certificate: {error}") from None
    if not fields.text("caPrivateKey"):
        raise Fault("private key for ca required")
    key = keys.private_key(call, fields.text("caPrivateKey"))
    if keys.public_of(key) != keys.public_of(authority):
        raise Fault("the private key for the ca is not that of its certificate")
    return _Issuer(authority, key)


def _described(fields: _Fields, public: Any, authority: Certificate | None) -> CertificateBuilder:
    from cryptography import x509

    start = _start(fields.text("validFrom"))
    subject = _subject(fields)
    builder = (
        x509.CertificateBuilder()
        .serial_number(secrets.randbelow((1 << 127) - 1) + 1)
        .subject_name(subject)
        .issuer_name(authority.subject if authority else subject)
        .public_key(public)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(hours=fields.hours("validity")))
    )
    asked = {usage.lower() for usage in fields.texts("usage")}
    is_ca = fields.flag("isCA") or "certsign" in asked
    builder = _with_usages(builder, fields.texts("usage"), asked | ({"certsign"} if is_ca else set()))
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    if is_ca:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    return _with_hosts(_with_authority(builder, authority), fields.texts("hosts"))


def _with_authority(builder: CertificateBuilder, authority: Certificate | None) -> CertificateBuilder:
    """The key of a CA is named where its certificate names it."""
    from cryptography import x509

    if authority is None:
        return builder
    try:
        named = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return builder
    identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named.value)
    return builder.add_extension(identifier, critical=False)


def _start(text: str) -> datetime:
    if not text:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        month, _, rest = text.partition(" ")
        if not text.isascii():  # strptime takes the digits of all alphabets
            raise ValueError
        return datetime.strptime(f"{_MONTHS.index(month) + 1} {rest}", _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise Fault(f"invalid validFrom field: {text!r} is not of the form 'Jan 2 15:04:05 2006'") from None


def _subject(fields: _Fields) -> Name:
    from cryptography import x509

    parts = (
        (x509.NameOID.COUNTRY_NAME, fields.texts("country")),
        (x509.NameOID.ORGANIZATION_NAME, fields.texts("organization")),
        (x509.NameOID.COMMON_NAME, [name for name in (fields.text("commonName"),) if name]),
    )
    return x509.Name(
        [
            x509.RelativeDistinguishedName(
                [x509.NameAttribute(kind, value) for value in dict.fromkeys(values)]
            )
            for kind, values in parts
            if values
        ]
    )


def _with_usages(builder: CertificateBuilder, usages: list[str], asked: set[str]) -> CertificateBuilder:
    from cryptography import x509

    extended = {name.lower(): oid for name, oid in _EXTENDED_USAGES.items()}
    plain = {name for name, _, _ in _USAGES}
    for usage in usages:
        if usage.lower() not in plain and usage.lower() not in extended:
            raise Fault(f'invalid usage key "{usage}"')
    if asked & plain:
        bits = {attribute: name in asked for name, _, attribute in _USAGES}
        builder = builder.add_extension(x509.KeyUsage(**bits), critical=True)
    purposes = dict.fromkeys([extended[usage.lower()] for usage in usages if usage.lower() in extended])
    if purposes:
        oids = [x509.ObjectIdentifier(oid) for oid in purposes]
        builder = builder.add_extension(x509.ExtendedKeyUsage(oids), critical=False)
    return builder


def _with_hosts(builder: CertificateBuilder, hosts: list[str]) -> CertificateBuilder:
    from cryptography import x509

    names: list[x509.GeneralName] = []
    addresses: list[x509.GeneralName] = []
    for host in hosts:
        try:
            addresses.append(x509.IPAddress(parse_ip(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    if not hosts:
        return builder
    return builder.add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)


@function("x509parsecert", 1, 1)
def x509parsecert(call: Call, text: Value) -> Value:
    """What a certificate in PEM says, as a map."""
    if not isinstance(text, str):
        raise Fault(f"argument for {call.name} must be a certificate in pem format")
    try:
        found = keys.certificate(call, text)
        return _told(found)
    except ValueError as error:
        raise Fault(f"argument for {call.name} must be a certificate in pem format: {error}") from None


def _told(found: Certificate) -> dict[str, Value]:
    from cryptography import x509

    def subject(kind: x509.ObjectIdentifier) -> list[Value]:
        return [attribute.value for attribute in found.subject.get_attributes_for_oid(kind)]

    start, end = found.not_valid_before_utc, found.not_valid_after_utc
    left = end - datetime.now(UTC)
    names, addresses = _hosts(found)
    told: dict[str, Value] = {
        "isCA": keys.is_ca(found),
        "validFrom": _written(start),
        "validUntil": _written(end),
        "validity": int(left.total_seconds() / 3600),
        "usage": _usages(found),
        "publicKey": keys.public_pem(keys.public_of(found)),
    }
    optional: dict[str, Value] = {
        "commonName": next(iter(subject(x509.NameOID.COMMON_NAME)[-1:]), None),
        "country": subject(x509.NameOID.COUNTRY_NAME),
        "organization": subject(x509.NameOID.ORGANIZATION_NAME),
        "dnsNames": names,
        "ipAddresses": addresses,
        "hosts": addresses + names,
    }
    return {**told, **{name: value for name, value in optional.items() if value}}


def _written(moment: datetime) -> str:
    return f"{_MONTHS[moment.month - 1]} {moment.day} {moment:%H:%M:%S %Y}"


def _hosts(found: Certificate) -> tuple[list[Value], list[Value]]:
    from cryptography import x509

    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return list(names.get_values_for_type(x509.DNSName)), list(addresses)


def _usages(found: Certificate) -> list[Value]:
    from cryptography import x509

    told: list[Value] = []
    try:
        bits = found.extensions.get_extension_for_class(x509.KeyUsage).value
        told += [name for _, name, attribute in _USAGES if _is_set(bits, attribute)]
    except x509.ExtensionNotFound:
        pass
    names = {oid: name for name, oid in _EXTENDED_USAGES.items()}
    try:
        purposes = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        told += [names[purpose.dotted_string] for purpose in purposes if purpose.dotted_string in names]
    except x509.ExtensionNotFound:
        pass
    return told


def _is_set(bits: Any, attribute: str) -> bool:
    # The last two bits have a meaning only beside key agreement, and are not to be asked for otherwise.
    needs_agreement = attribute in ("encipher_only", "decipher_only")
    return bool(
        bits.key_agreement and getattr(bits, attribute) if needs_agreement else getattr(bits, attribute)
    )
