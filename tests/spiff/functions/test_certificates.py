"""Keys and certificates: what cryptography's own readers find in them, and what is refused."""

import sys
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_public_key,
)

from dynaml import evaluate, fault
from tweed_shim import spiff

USAGES = [
    "Signature", "Commitment", "KeyEncipherment", "DataEncipherment", "KeyAgreement", "CertSign", "CRLSign",
    "EncipherOnly", "DecipherOnly", "Any", "ServerAuth", "clientauth", "codesigning", "EmailProtection",
    "IPSecEndSystem", "IPSecTunnel", "IPSecUser", "TimeStamping", "OCSPSigning", "MicrosoftServerGatedCrypto",
    "NetscapeServerGatedCrypto", "MicrosoftCommercialCodeSigning", "MicrosoftKernelCodeSigning",
]  # fmt: skip


def loaded(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


@pytest.fixture(scope="module")
def issued() -> dict[str, Any]:
    """A CA, and a server's certificate that it has signed."""
    result = spiff.merge(
        """
        ca:
          key: (( x509genkey("P384") ))
          cert: (( x509cert({ $commonName = "root", $organization = ["one", "two"], $country = "CH",
                              $privateKey = .ca.key, $isCA = true, $usage = [] }) ))
        server:
          key: (( x509genkey("P256") ))
          cert: (( x509cert({ $commonName = "server", $publicKey = x509publickey(.server.key), $usage = ["ServerAuth"],
                              $validity = 48, $validFrom = "Mar 1 10:20:30 2031", $caCert = .ca.cert,
                              $caPrivateKey = .ca.key, $hosts = ["example.org", "10.0.0.1", "::1"] }) ))
          told: (( x509parsecert(.server.cert) ))
        """
    )
    assert isinstance(result, dict)
    return result


def test_a_ca_signs_itself_and_others(issued: dict[str, Any]) -> None:
    root, server = loaded(issued["ca"]["cert"]), loaded(issued["server"]["cert"])
    root.verify_directly_issued_by(root)
    server.verify_directly_issued_by(root)
    assert root.subject.rfc4514_string() == "CN=root,O=one+O=two,C=CH"
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert root.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    named = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    issuer = server.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert issuer == named
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_what_a_certificate_says_is_told(issued: dict[str, Any]) -> None:
    told = dict(issued["server"]["told"])
    assert told.pop("publicKey") == evaluate(
        f'x509publickey("{issued["server"]["key"]}")'.replace("\n", "\\n")
    )
    assert told.pop("validity") > 24
    assert told == {
        "commonName": "server",
        "isCA": False,
        "usage": ["ServerAuth"],
        "validFrom": "Mar 1 10:20:30 2031",
        "validUntil": "Mar 3 10:20:30 2031",
        "dnsNames": ["example.org"],
        "ipAddresses": ["10.0.0.1", "::1"],
        "hosts": ["10.0.0.1", "::1", "example.org"],
    }


def test_every_usage_is_written_and_told(issued: dict[str, Any]) -> None:
    document = spiff.dump({"key": issued["server"]["key"], "usages": USAGES})
    told = evaluate("x509parsecert(x509cert({ $privateKey = key, $usage = usages }))", document)
    assert len(told["usage"]) == len(USAGES)
    assert told["usage"][:2] == ["Signature", "ContentCommitment"]
    assert told["isCA"]


def test_a_certificate_is_valid_for_a_year_from_now_unless_it_is_said(issued: dict[str, Any]) -> None:
    root = loaded(issued["ca"]["cert"])
    assert root.not_valid_after_utc - root.not_valid_before_utc == timedelta(days=365)


@pytest.mark.parametrize("curve", ["P224", "P256", "P384", "P521"])
def test_curves(curve: str) -> None:
    made = spiff.merge(
        f'key: (( x509genkey("{curve}") ))\n'
        "public: (( x509publickey(key) ))\n"
        "generic: (( x509publickey(public, 'pkix') ))\n".replace("'", '"')
        + 'check: (( check(key, "privatekey") -and check(public, "publickey") ))\n'
    )
    assert load_pem_private_key(made["key"].encode(), None).curve.name == f"secp{curve[1:]}r1"  # type: ignore[union-attr]  # it is of a curve
    assert made["key"].startswith("-----BEGIN EC PRIVATE KEY-----\n")
    assert made["public"].startswith("-----BEGIN ECDSA PUBLIC KEY-----\n")
    assert made["generic"] == made["public"]
    assert made["check"]


def test_rsa_keys_have_three_forms() -> None:
    made = spiff.merge(
        'key: (( x509genkey("1024") ))\n'
        "pkcs1: (( x509publickey(key) ))\n"
        'pkix: (( x509publickey(pkcs1, "PKIX") ))\n'
        'ssh: (( x509publickey(pkix, "ssh") ))\n'
        "cert: (( x509cert({ $privateKey = key }) ))\n"
        'again: (( x509publickey(cert, "ssh") == ssh ))\n'
    )
    public = load_pem_private_key(made["key"].encode(), None).public_key()
    assert load_pem_public_key(made["pkix"].encode()) == public
    assert load_ssh_public_key(made["ssh"].encode()) == public
    assert made["key"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert made["pkcs1"].startswith("-----BEGIN RSA PUBLIC KEY-----\n")
    assert made["again"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("", "one of 'publicKey' or 'privateKey' must be given"),
        ("$publicKey = public", "private key for self-signed certificate required"),
        ("$privateKey = public", "invalid pem block type"),
        ("$privateKey = key, $usage = ['Flying']", 'invalid usage key "Flying"'),
        ("$privateKey = key, $usage = [{}]", 'invalid list element type for "usage"'),
        ("$privateKey = key, $commonName = []", 'invalid type for "commonName"'),
        ("$privateKey = key, $isCA = 'maybe'", 'invalid type for boolean field "isCA"'),
        ("$privateKey = key, $validity = 'long'", 'invalid type for "validity"'),
        ("$privateKey = key, $validity = 999999999999", "failed to create certificate"),
        ("$privateKey = key, $validFrom = '2031-01-01'", "invalid validFrom field"),
        ("$privateKey = key, $country = 'Utopia'", "failed to create certificate"),
        ("$privateKey = key, $hosts = 'é'", "failed to create certificate"),
        ("$privateKey = key, $caCert = public", "invalid ca certificate"),
        ("$privateKey = key, $caCert = cert", "private key for ca required"),
        ("$privateKey = key, $caCert = cert, $caPrivateKey = other", "is not that of its certificate"),
    ],
)  # fmt: skip
def test_a_description_that_does_not_fit_is_told(issued: dict[str, Any], fields: str, reason: str) -> None:
    document = spiff.dump({**issued["server"], "other": issued["ca"]["key"]})
    document += 'public: (( x509publickey(key, "pkix") ))\n'
    fields = fields.replace("'", '"')
    assert reason in fault(f"x509cert({{ {fields} }})", document)


@pytest.mark.parametrize(
    "expression",
    [
        'x509genkey("P256")',
        'bcrypt("x")',
        'bcrypt_check("x", "y")',
        'encrypt("x", "y")',
        "wgpublickey(wggenkey())",
    ],
)
def test_a_missing_library_names_the_extra(expression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cryptography", "bcrypt")]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("cryptography", "bcrypt"):
        monkeypatch.setitem(sys.modules, name, None)
    said = fault(expression)
    assert "pip install 'tweed-shim[crypto]'" in said
    assert "pip install '.[crypto]'" in said


def test_what_the_reference_has_encrypted_can_be_read() -> None:
    secret = (
        "a74232bc3365c251997f120d6aaf9eaaaa2859ecfb19b30b14f3104b18773ccb"
        "e4d85c0b59004a0f9e5881af9db2aabb64c8756e994aaf4363c376995d0a20e13ede82b8dcccba99"
    )
    assert evaluate(f'decrypt("{secret}", "open sesame")') == {"user": "ada", "ports": [80, 443]}
    for changed in (secret[:-2], f"{secret[:40]}00{secret[42:]}", secret[:32], "00", "no"):
        assert "invalid key" in fault(f'decrypt("{changed}", "open sesame")')
