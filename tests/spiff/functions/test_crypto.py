"""Hashes, passwords, encryption, chance, X.509 and WireGuard."""

import re
from typing import Any

import pytest

from dynaml import evaluate, exact, fault
from tweed_shim import spiff


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('md5("kim")', "fb1eaf2bd9f2a7013602be235c305e7a"),
        ('hash("kim")', "26ae784d194a5760464348329af4eb9fca2b27bbf823742c968a61543e3a1153"),
        ('hash("kim", "md5")', "fb1eaf2bd9f2a7013602be235c305e7a"),
        ('hash("kim", "sha1")', "a6312121e15caec74845b7ba5af23330d52d4ac0"),
        ('hash("kim", "sha224")', "e1b2fe1aa778d80169fe8987a65ee5d8b5420bf62a70abf05c95dd70"),
        ('hash("kim", "sha256")', "26ae784d194a5760464348329af4eb9fca2b27bbf823742c968a61543e3a1153"),
        (
            'hash("kim", "sha384")',
            "a8ce0f40f4f08d8f170f3e01744c60b9f451f2ce5739e4e6082f09cfd3d9ec388ed74c543432bc803f27c4da0cfb9db1",
        ),
        (
            'hash("kim", "sha512")',
            "427e9423f3ea10801cd788592bfe16b152a34beea9a1c262bc3fddd7b2a8291014e9a7081a3855bf0e610686ae4c72db6bf1a4686f53df39ab6b2dc7f4d1e802",
        ),
        ('hash("kim", "sha512/224")', "c074ae7ff1d4c9e4ad2ecfcaaa9a330f5990044052ceb37ff9de09a3"),
        ('hash("kim", "sha512/256")', "70a1332d2f37eaf386bcde79c2e91c6d8eecc66943f3b0f1c645a08e0614359c"),
        ('hash("kim", "md4")', "6b696d31d6cfe0d16ae931b73c59d7e0c089c0"),
        ('hash("")', "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ],
)
def test_hashes(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('bcrypt_check("kim", bcrypt("kim", 4))', True),
        ('bcrypt_check("tom", bcrypt("kim", 4))', False),
        ('substr(bcrypt("kim", 4), 0, 7)', "$2a$04$"),
        ('md5crypt_check("kim", md5crypt("kim"))', True),
        ('md5crypt_check("tom", md5crypt("kim"))', False),
        ('substr(md5crypt("kim"), 0, 6)', "$apr1$"),
        ('md5crypt_check("secret", "$apr1$abcdefgh$BbL3SFXAWiKOVaGRM5M1e/")', False),
        ('decrypt(encrypt("kim", "pass"), "pass")', "kim"),
        ('decrypt(encrypt({$a = [1, ~]}, "pass"), "pass")', {"a": [1, None]}),
        ('encrypt("kim", "pass") == encrypt("kim", "pass")', False),
        ("rand(1)", 0),
        ("rand(10) < 10", True),
        ("rand(-1)", 0),
        ("rand() >= 0", True),
        ("type(rand(true))", "bool"),
        ('length(rand("[:alnum:]", 12))', 12),
        ('match("^[a-f]{7}$", rand("a-f", 7)) ? 1 :0', 1),
        ('match("^[0-9]+$", rand("[:digit:]", 30)) ? 1 :0', 1),
        ('length(rand("x"))', 1),
        ('rand("x", 3)', "xxx"),
        ("length(wggenkey())", 44),
        (
            'wgpublickey("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=")',
            "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=",
        ),
    ],
)
def test_secrets(expression: str, expected: Any) -> None:
    assert exact(evaluate(expression)) == exact(expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ('hash("kim", "nosuchhash")', "nosuchhash"),
        ("hash()", ""),
        ("hash([])", ""),
        ("md5()", ""),
        ("bcrypt()", ""),
        ('bcrypt("a", "b")', ""),
        ('bcrypt_check("a")', ""),
        ('decrypt("00", "pass")', ""),
        ('decrypt("zz", "pass")', ""),
        ('decrypt(encrypt("kim", "pass"), "other")', ""),
        ('encrypt("kim", "pass", "ROT13")', "ROT13"),
        ('encrypt("kim")', ""),
        ("rand(0)", ""),
        ('wgpublickey("short")', ""),
        ('x509publickey("no key")', ""),
        ("x509genkey([])", ""),
        ('x509genkey("P999")', ""),
        ('x509parsecert("no certificate")', ""),
        ("x509cert({})", ""),
        ("x509cert(5)", ""),
    ],
)
def test_secrets_that_do_not_fit(expression: str, reason: str) -> None:
    assert reason in fault(expression)


CERTIFICATES = """
ca:
  <<: (( &temporary ))
  key: (( x509genkey("P256") ))
  spec:
    commonName: root
    organization: [Garden]
    isCA: true
    usage: [CertSign, Signature]
    validity: 48
    privateKey: (( ca.key ))
  cert: (( x509cert(ca.spec) ))
leaf:
  <<: (( &temporary ))
  key: (( x509genkey("P256") ))
  spec:
    commonName: web
    country: DE
    usage: [ServerAuth, ClientAuth, KeyEncipherment]
    hosts: [web.example.org, 10.0.0.1]
    validity: 24
    publicKey: (( x509publickey(leaf.key) ))
    caCert: (( ca.cert ))
    caPrivateKey: (( ca.key ))
  cert: (( x509cert(leaf.spec) ))
root: (( x509parsecert(ca.cert) ))
web: (( x509parsecert(leaf.cert) ))
checks:
- (( check(ca.key, "privatekey") ))
- (( check(leaf.key, "publickey") ))
- (( check(ca.cert, "certificate") ))
- (( check(ca.cert, "ca") ))
- (( check(leaf.cert, "ca") ))
- (( check(x509publickey(ca.key), "publickey") ))
- (( x509publickey(leaf.cert) == x509publickey(leaf.key) ))
ssh: (( x509publickey(leaf.key, "ssh") ))
"""


def test_certificates_are_made_signed_and_read() -> None:
    merged = spiff.merge(CERTIFICATES)
    root, web = merged["root"], merged["web"]
    assert (root["commonName"], root["organization"], root["isCA"]) == ("root", ["Garden"], True)
    assert (web["commonName"], web["country"], web["isCA"]) == ("web", ["DE"], False)
    assert web["dnsNames"] == ["web.example.org"]
    assert web["ipAddresses"] == ["10.0.0.1"]
    assert sorted(web["hosts"]) == ["10.0.0.1", "web.example.org"]
    assert set(web["usage"]) == {"ServerAuth", "ClientAuth", "KeyEncipherment"}
    assert web["validity"] in (23, 24)
    assert re.fullmatch(r"[A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4}", web["validFrom"])
    assert merged["checks"] == [True, False, True, True, False, True, True]
    assert merged["ssh"].startswith("ecdsa-sha2-nistp256 ")


def test_keys_are_written_as_pem() -> None:
    document = "k: (( x509genkey(1024) ))\n"
    assert "BEGIN RSA PRIVATE KEY" in spiff.merge(document)["k"]
    assert "BEGIN RSA PUBLIC KEY" in spiff.merge(document + "p: (( x509publickey(k) ))\n")["p"]
    assert "BEGIN PUBLIC KEY" in spiff.merge(document + 'p: (( x509publickey(k, "pkix") ))\n')["p"]
    assert "BEGIN EC PRIVATE KEY" in evaluate('x509genkey("P384")')
