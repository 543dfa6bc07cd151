"""Public keys and certificates: read from files, restricted, and used to verify signatures."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from signed_tree import TOP, TREE, V3_FORM, signed_top, unsigned, verify
from signing import PRIVATE, digest_in, signature_of
from token_servers import openssl
from tweed_shim.base.records import replace
from tweed_shim.errors import ConfigError, HostError
from tweed_shim.ocm import keys
from tweed_shim.ocm.component_descriptor import (
    Digest,
)

NOW = datetime.now(UTC).replace(microsecond=0)
SECOND = timedelta(seconds=1)


def certificate(*names: tuple[Any, str], days: tuple[int, int] = (0, 1)) -> bytes:
    subject = x509.Name([x509.NameAttribute(kind, value) for kind, value in names])
    first, last = (NOW + timedelta(days=each) for each in days)
    builder = x509.CertificateBuilder(subject, subject, PRIVATE.public_key(), 1, first, last)
    return builder.sign(PRIVATE, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_the_subject_of_a_certificate_must_be_the_issuer() -> None:
    name = x509.NameOID
    data = certificate(
        (name.COUNTRY_NAME, "DE"), (name.ORGANIZATION_NAME, "Acme"), (name.COMMON_NAME, "acme")
    )
    key = keys.parse(data, "the certificate")
    for issuer in ("", "CN=acme,O=Acme,C=DE", "CN=acme", "O=Acme"):
        assert verify(signed_top(issuer=issuer), key=key).key == "the certificate"
    for issuer in ("CN=evil", "CN=acme,O=Evil", "no name"):
        assert "says that" in unsigned(signed_top(issuer=issuer), key=key)


ACME = (x509.NameOID.COMMON_NAME, "acme")


@pytest.mark.parametrize("days", [(-2, -1), (1, 2)], ids=["expired", "not yet valid"])
def test_a_certificate_outside_its_validity_is_refused_unless_another_time_is_given(
    days: tuple[int, int],
) -> None:
    data = certificate(ACME, days=days)
    with pytest.raises(ConfigError, match=r"^the certificate is valid from .* and not at 20.*Z; .*at="):
        keys.parse(data, "the certificate")
    middle = NOW + timedelta(days=sum(days) / 2)
    assert verify(signed_top(), key=keys.parse(data, "the certificate", at=middle)).is_signed
    # Both ends belong to the validity.
    first, last = (NOW + timedelta(days=each) for each in days)
    for time, holds in ((first, True), (last, True), (first - SECOND, False), (last + SECOND, False)):
        if holds:
            assert keys.parse(data, "the certificate", at=time).certificate is not None
        else:
            with pytest.raises(ConfigError, match="is valid from"):
                keys.parse(data, "the certificate", at=time)


def test_the_first_certificate_of_a_chain_is_used() -> None:
    expired = certificate((x509.NameOID.COMMON_NAME, "root"), days=(-2, -1))
    key = keys.parse(certificate(ACME) + expired, "the chain")
    assert verify(signed_top(issuer="CN=acme"), key=key).is_signed
    with pytest.raises(ConfigError, match="is valid from"):
        keys.parse(expired + certificate(ACME), "the chain")


@pytest.mark.parametrize("bits", [1024, 2047])
@pytest.mark.parametrize("form", ["key", "certificate"])
def test_a_weak_rsa_key_is_refused(tmp_path: Path, bits: int, form: str) -> None:
    key = str(tmp_path / "key")
    openssl("genrsa", "-out", key, str(bits))
    if form == "key":
        data = openssl("rsa", "-in", key, "-pubout")
    else:
        data = openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=acme", "-days", "2")
    with pytest.raises(ConfigError, match=f"^the key has {bits} bits, and RSA keys of less than 2048"):
        keys.parse(data, "the key")


@pytest.mark.parametrize("bits", [2048, 4096])
def test_a_signature_of_openssl_is_verified(tmp_path: Path, bits: int) -> None:
    key, digest = str(tmp_path / "key"), digest_in(TREE, str(TOP), Digest("SHA-256", V3_FORM, ""))
    openssl("genrsa", "-out", key, str(bits))
    made = openssl(
        "pkeyutl", "-sign", "-inkey", key, "-pkeyopt", "digest:sha256", data=bytes.fromhex(digest.value)
    )
    signature = signature_of(digest, value=made.hex())
    public = keys.parse(openssl("rsa", "-in", key, "-pubout"), "the key")
    assert verify(replace(TOP, signatures=(signature,)), key=public).is_signed


def test_a_signature_in_pem_is_verified() -> None:
    import base64

    good = signed_top()
    [signature] = good.signatures
    body = base64.encodebytes(bytes.fromhex(signature.value.value)).decode()
    for header in ("", "Signature Algorithm: RSASSA-PKCS1-V1_5\n\n"):
        text = f"-----BEGIN SIGNATURE-----\n{header}{body}-----END SIGNATURE-----\n"
        written = replace(signature, value=replace(signature.value, value=text, media_type=keys.PEM))
        assert verify(replace(good, signatures=(written,))).is_signed


@pytest.mark.parametrize("form", ["SubjectPublicKeyInfo", "PKCS1"])
def test_a_public_key_is_read_from_its_file(tmp_path: Path, form: str) -> None:
    path = tmp_path / "key.pub"
    format_ = {"PKCS1": serialization.PublicFormat.PKCS1}.get(
        form, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    path.write_bytes(PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, format_))
    assert verify(signed_top(), key=keys.load(str(path))).key == f"the public key {path}"


def test_a_file_without_a_public_key_is_refused(tmp_path: Path) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem, info = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    for data in (b"", b"text", b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(ConfigError, match="neither a public key nor a certificate"):
            keys.parse(data, "it")
    with pytest.raises(ConfigError, match="no RSA key"):
        keys.parse(elliptic.public_bytes(pem, info), "it")
    with pytest.raises(ConfigError, match="nonesuch"):
        keys.load(str(tmp_path / "nonesuch"))


def test_a_missing_crypto_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.hashes", None)
    with pytest.raises(HostError, match=r"tweed-shim\[crypto\]"):
        verify(signed_top())
