"""`ocm verify` is a verdict: exit code 0 where all is what was signed, or was excepted by name, and nowhere else."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from components import Elsewhere, Local, component, make_archive
from packages import PACKAGE_TYPE
from servers import RegistryServer
from signing import PRIVATE, signed
from token_servers import QuietHandler, Server, openssl, serving
from tweed_shim import Shim
from tweed_shim.cli.main import main
from tweed_shim.errors import ComponentError, ShimError
from tweed_shim.ocm import codec
from tweed_shim.ocm.descriptor import Digest
from tweed_shim.ocm.repository import Addition
from tweed_shim.records import replace

DATA = b"what was signed"
LIB = component("example.com/lib", "2.0.0", [Local("one", b"first")])
APP = component("example.com/app", "1.0.0", [Local("two", b"second")], ["example.com/lib:2.0.0"])
TOP = "//example.com/app:1.0.0"


class Recording(Server):
    """Gives DATA at /data for every method, something else at /other, and records what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _RecordingHandler)
        self.seen: list[tuple[str, str, Mapping[str, str]]] = []
        self.pages = {"/data": DATA, "/other": b"something else"}

    def access(self, path: str = "/data", **fields: Any) -> dict[str, Any]:
        return {"type": "wget", "url": f"http://{self.host}{path}", **fields}


class _RecordingHandler(QuietHandler):
    server: Recording

    def do_GET(self) -> None:  # noqa: N802 - the base class calls it so
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        if self.path in self.server.pages:
            self.answer(200, self.server.pages[self.path])
        else:
            self.answer(404)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the base class calls them so


@pytest.fixture
def server() -> Iterator[Recording]:
    found = Recording()
    with serving(found):
        yield found


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    from tweed_shim.image.connection import Patience
    from tweed_shim.ocm import web

    monkeypatch.setenv("OCM_CONFIG", "None")
    monkeypatch.setattr(web, "PATIENCE", Patience(sleep=lambda _seconds: None))


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "key.pub"
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, form))
    return str(path)


Verify = Callable[..., "Verdict"]


class Verdict:
    """What `ocm verify` answered, as text and as JSON; both say the same."""

    def __init__(self, code: int, text: str, shown: Mapping[str, Any]) -> None:
        self.code = code
        self.lines = text.splitlines()
        self.shown = shown

    def states(self, kind: str = "resource") -> dict[str, str]:
        return {each["name"]: each["state"] for each in self.shown["elements"] if each["kind"] == kind}

    def why(self, name: str) -> str:
        (found,) = (each["why"] for each in self.shown["elements"] if each["name"] == name)
        return str(found)


@pytest.fixture
def verify(key: str, capfd: pytest.CaptureFixture[str]) -> Verify:
    """Verify `ARCHIVE//COMPONENT`, with further options, in both forms."""

    def run(source: str, *options: str, public_key: str = key) -> Verdict:
        words = ["ocm", "verify", source, "-s", "sig", "-k", public_key, *options]
        capfd.readouterr()
        code = main(words)
        text = capfd.readouterr()
        assert (main([*words, "--json"]), text.err) == (code, "")
        verdict = Verdict(code, text.out, json.loads(capfd.readouterr().out))
        assert verdict.shown["verified"] == (code == 0)
        assert len(verdict.lines) == len(verdict.shown["elements"]) + 2
        assert verdict.lines[-1].startswith("verified: " if code == 0 else "NOT verified: ")
        return verdict

    return run


def archived(directory: Path, top: Addition, *more: Addition) -> str:
    return make_archive(directory / "archive", *more, signed(top, *more)) + TOP


def elsewhere(access: Mapping[str, Any], content: bytes | None = DATA) -> Addition:
    return component("example.com/app", resources=[Elsewhere("it", access, content), Local("local", b"l")])


def swapped(top: Addition, access: Mapping[str, Any]) -> Addition:
    """A signed component version, whose first resource is accessed otherwise: no signature covers that."""
    first, *rest = top.descriptor.resources
    about = replace(top.descriptor, resources=(replace(first, access=access), *rest))
    return Addition(about, codec.encode(about), top.blobs)


def test_all_that_is_signed_is_listed_and_verified(tmp_path: Path, verify: Verify, key: str) -> None:
    verdict = verify(archived(tmp_path, APP, LIB))
    assert verdict.code == 0
    assert [line.split() for line in verdict.lines[:-1]] == [
        ["STATE", "KIND", "NAME", "VERSION", "COMPONENT", "WHY"],
        ["ok", "signature", "sig", "-", "example.com/app:1.0.0", "-"],
        ["ok", "component", "example.com/app", "1.0.0", "example.com/app:1.0.0", "-"],
        ["ok", "component", "example.com/lib", "2.0.0", "example.com/lib:2.0.0", "-"],
        ["ok", "resource", "one", "1.0.0", "example.com/lib:2.0.0", "-"],
        ["ok", "resource", "two", "1.0.0", "example.com/app:1.0.0", "-"],
    ]
    assert verdict.lines[-1] == (
        f"verified: the signature 'sig' of example.com/app:1.0.0 holds, by the public key {key}"
    )
    assert verdict.shown["complete"] is True
    assert {name: len(each) for name, each in verdict.shown["components"].items()} == {
        "example.com/app:1.0.0": 64,
        "example.com/lib:2.0.0": 64,
    }


def test_a_component_version_of_a_registry(registry: RegistryServer, verify: Verify) -> None:
    from components import put

    source = put(f"{registry.host}/verified", LIB, signed(APP, LIB))
    assert verify(f"{source}{TOP}").code == 0


@pytest.mark.parametrize(
    ("access", "content", "state", "why"),
    [
        ({"type": "wget", "url": "http://HOST/data"}, DATA, "ok", ""),
        ({"type": "wget", "url": "http://HOST/other"}, DATA, "failed", "is not what its component version says"),
        ({"type": "wget", "url": "http://HOST/none"}, DATA, "not verified", "HTTP 404"),
        ({"type": "wget", "url": "http://127.0.0.1:1/"}, DATA, "not verified", "nobody answers"),
        ({"type": "wget"}, DATA, "not verified", "has no URL"),
        ({"type": "npm", "registry": "x", "package": "y"}, DATA, "not verified", "'npm', which is not supported"),
        ({"type": "NONE"}, DATA, "not verified", "has no content"),
        ({"type": "wget", "url": "http://HOST/data"}, None, "not verified", "no digest is recorded"),
        ({"type": "localBlob", "localReference": "sha256:" + "0" * 64}, DATA, "not verified", "lacks the local blob"),
        ({"type": "ociBlob", "ref": "127.0.0.1:1/x"}, DATA, "not verified", "no digest"),
    ],
)  # fmt: skip
def test_what_is_not_verified_is_the_verdict(
    tmp_path: Path,
    server: Recording,
    verify: Verify,
    access: Mapping[str, str],
    content: bytes | None,
    state: str,
    why: str,
) -> None:
    access = {key: value.replace("HOST", server.host) for key, value in access.items()}
    source = archived(tmp_path, elsewhere(access, content))
    verdict = verify(source)
    assert (verdict.states(), verdict.code) == ({"it": state, "local": "ok"}, int(state != "ok"))
    assert verdict.shown["complete"] is (state == "ok")
    assert why in verdict.why("it")
    # What differs is excepted by nothing, and what cannot be compared by the name of its access alone.
    assert verify(source, "--allow-unverified", "s3").code == verdict.code
    excepted = verify(source, "--allow-unverified", "s3", "--allow-unverified", access["type"])
    assert excepted.code == int(state == "failed")
    assert excepted.shown["complete"] is (state == "ok")
    if state == "not verified":
        assert "(excepted by --allow-unverified)" in "\n".join(excepted.lines)
        assert "1 could not be verified, which is allowed" in excepted.lines[-1]


@pytest.mark.parametrize(
    "digest",
    [Digest("SHA-256", "mavenArtifactDigest/v1", "0" * 64), Digest("SHA3-512", "genericBlobDigest/v1", "0" * 64)],
)  # fmt: skip
def test_a_digest_of_an_unknown_kind_is_not_verified(tmp_path: Path, verify: Verify, digest: Digest) -> None:
    (resource,) = component("example.com/app", resources=[Local("it", DATA)]).descriptor.resources
    about = component("example.com/app", resources=[replace(resource, digest=digest)])
    source = archived(tmp_path, about)
    verdict = verify(source)
    assert (verdict.code, verdict.states()) == (1, {"it": "not verified"})
    assert digest.normalisation in verdict.why("it")
    assert verify(source, "--allow-unverified", "localBlob").code == 0


def damage(path: str) -> None:
    with open(path, "r+b") as file:
        file.write(b"X")


@pytest.mark.parametrize(("change", "state"), [(damage, "failed"), (os.unlink, "not verified")])
def test_a_blob_that_is_damaged_or_gone(
    tmp_path: Path, verify: Verify, change: Callable[[str], None], state: str
) -> None:
    source = archived(tmp_path, APP, LIB)
    blob = LIB.blobs[0].digest.replace(":", ".")
    change(f"{tmp_path}/archive/blobs/{blob}")
    verdict = verify(source)
    assert (verdict.code, verdict.states()) == (1, {"one": state, "two": "ok"})
    assert verify(source, "--allow-unverified", "localBlob").code == int(state == "failed")


def test_an_access_that_was_swapped_after_the_signature(
    tmp_path: Path, server: Recording, verify: Verify
) -> None:
    good = signed(elsewhere(server.access()))
    for number, (access, state) in enumerate(
        [(server.access("/other"), "failed"), ({"type": "maven"}, "not verified")]
    ):
        source = make_archive(tmp_path / f"{number}", swapped(good, access)) + TOP
        verdict = verify(source)
        assert (verdict.code, verdict.states("signature")) == (1, {"sig": "ok"})
        assert verdict.states() == {"it": state, "local": "ok"}
    # One to nothing at all changes what is signed.
    source = make_archive(tmp_path / "none", swapped(good, {"type": "none"})) + TOP
    assert verify(source).states("signature") == {"sig": "failed"}


@pytest.mark.parametrize("fault", ["no signature", "another key", "another descriptor"])
def test_no_access_is_followed_where_the_signature_does_not_hold(
    tmp_path: Path, server: Recording, verify: Verify, fault: str
) -> None:
    top = elsewhere(server.access())
    if fault == "no signature":
        source = make_archive(tmp_path / "a", top) + TOP
    elif fault == "another key":
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        source = make_archive(tmp_path / "a", signed(top, key=other)) + TOP
    else:
        made = signed(top).descriptor
        about = replace(made, creation_time="2024-01-01T00:00:00Z")
        source = make_archive(tmp_path / "a", Addition(about, codec.encode(about), top.blobs)) + TOP
    verdict = verify(source, "--allow-unverified", "wget", "--allow-unverified", "localBlob")
    assert (verdict.code, verdict.shown["complete"]) == (1, False)
    assert verdict.states("signature") == {"sig": "failed"}
    assert set(verdict.states().values()) <= {"not verified"}
    assert "does not hold" in verdict.lines[-1]
    assert server.seen == []


def test_a_component_version_that_is_not_there_leaves_all_unverified(tmp_path: Path, verify: Verify) -> None:
    made = signed(APP, LIB)
    verdict = verify(make_archive(tmp_path / "a", made) + TOP, "--allow-unverified", "localBlob")
    assert (verdict.code, verdict.states("signature")) == (1, {"sig": "not verified"})
    assert "example.com/lib:2.0.0, which example.com/app:1.0.0 references is not there" in verdict.why("sig")
    assert "could not be verified" in verdict.lines[-1]
    assert verdict.shown["components"] == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"verb": "DELETE"},
        {"verb": "POST", "body": "pay"},
        {"verb": "get", "body": "pay"},
        {"header": {"x-http-method-Override": ["DELETE"], "X-One": ["kept"]}},
    ],
)
def test_only_get_is_sent_whatever_an_access_says(
    tmp_path: Path, server: Recording, verify: Verify, fields: Mapping[str, Any]
) -> None:
    assert verify(archived(tmp_path, elsewhere(server.access(**fields)))).code == 0
    assert {method for method, _, _ in server.seen} == {"GET"}
    for _, _, headers in server.seen:
        assert not {name.lower() for name in headers} & {"content-length", "x-http-method-override"}
        assert headers.get("X-One") == ("kept" if "header" in fields else None)


COMMANDS: Mapping[str, Sequence[str]] = {
    "download": ("ocm", "download", "SOURCE", "it", "-O", "OUT"),
    "transfer": ("ocm", "transfer", "-V", "SOURCE", "OUT"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("fields", "verb"),
    [
        ({"verb": "POST", "body": "x"}, "POST"),
        ({"verb": "put"}, "PUT"),
        ({"header": {"X-HTTP-Method-Override": "DELETE"}}, "DELETE"),
        ({"header": {"x-method-override": ["GET", "Put"]}}, "PUT"),
    ],
)
def test_another_verb_has_to_be_allowed(
    tmp_path: Path,
    server: Recording,
    capfd: pytest.CaptureFixture[str],
    command: str,
    fields: Mapping[str, Any],
    verb: str,
) -> None:
    source = archived(tmp_path, elsewhere(server.access(**fields)))
    out = tmp_path / "out"
    words = [each.replace("SOURCE", source).replace("OUT", str(out)) for each in COMMANDS[command]]
    for more in ([], ["--allow-verb", "PATCH"]):
        assert main([*words, *more]) == 125
        assert f"HTTP method '{verb}', which may change what is on the server; use --allow-verb {verb}" in (
            capfd.readouterr().err
        )
    assert (server.seen, out.exists()) == ([], False)
    assert main([*words, "--allow-verb", verb.lower()]) == 0
    assert (len(server.seen), out.exists()) == (1, True)
    assert server.seen[0][0] == (fields["verb"].upper() if "verb" in fields else "GET")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["describe"], ["--json"]),
        (["config"], ["-p", "OUT/p", "-c", "OUT/c"]),
        (["bootstrap", "install"], ["--dry-run", "--trust-templates"]),
    ],
)
def test_a_package_is_fetched_by_another_verb_only_where_that_is_allowed(
    tmp_path: Path,
    server: Recording,
    capfd: pytest.CaptureFixture[str],
    before: Sequence[str],
    after: Sequence[str],
) -> None:
    image = '{"image": {"ref": "127.0.0.1:1/x@sha256:' + "0" * 64 + '"}, "actions": ["install"]}'
    server.pages["/package"] = f'{{"description": "far away", "executors": [{image}]}}'.encode()
    access = server.access("/package", verb="POST", mediaType=PACKAGE_TYPE)
    far = Elsewhere("package", access, server.pages["/package"], "toiPackage")
    source = make_archive(tmp_path / "a", component("example.com/app", resources=[far])) + TOP
    words = ["toi", *before, source, *(each.replace("OUT", str(tmp_path)) for each in after)]
    assert main(words) == 125
    assert "use --allow-verb POST if it may" in capfd.readouterr().err
    assert server.seen == []
    main([*words, "--allow-verb", "POST"])
    assert [method for method, _, _ in server.seen] == ["POST"]


def test_a_program_allows_a_verb_likewise(tmp_path: Path, server: Recording) -> None:
    server.pages["/package"] = b'{"executors": []}'
    access = server.access("/package", verb="POST", mediaType=PACKAGE_TYPE)
    far = Elsewhere("package", access, server.pages["/package"], "toiPackage")
    source = make_archive(tmp_path / "a", component("example.com/app", resources=[far])) + TOP
    shim = Shim(tmp_path / "store")
    with pytest.raises(ComponentError, match="use --allow-verb POST if it may"):
        shim.bootstrap("install", source)
    assert server.seen == []
    with pytest.raises(ShimError, match="has no action 'install'"):
        shim.bootstrap("install", source, allow_verbs=["post"])
    assert [method for method, _, _ in server.seen] == ["POST"]


def test_what_allows_a_verb_is_a_verb(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["ocm", "download", "x//y", "it", "-O", "-", "--allow-verb", "GET /"]) == 2
    assert "'GET /' is no HTTP method such as POST" in capfd.readouterr().err


def certificate(directory: Path, first: str, last: str) -> str:
    """A certificate for the key of the signatures that is valid from one time to another (YYYYMMDD)."""
    path = str(directory / "certificate.pem")
    private = directory / "private.pem"
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(PRIVATE.private_bytes(serialization.Encoding.PEM, form, none))
    request = directory / "request.pem"
    openssl("req", "-new", "-key", str(private), "-subj", "/CN=acme", "-out", str(request))
    (directory / "index").write_text("")
    (directory / "ca.conf").write_text(
        f"[ca]\ndefault_ca=a\n[a]\ndatabase={directory}/index\nnew_certs_dir={directory}\nrand_serial=yes\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
    )
    times = ("-startdate", f"{first}000000Z", "-enddate", f"{last}000000Z")
    openssl(
        *("ca", "-config", str(directory / "ca.conf"), "-selfsign", "-keyfile", str(private), "-batch"),
        *("-notext", "-in", str(request), "-out", path, *times),
    )
    return path


def test_a_certificate_counts_in_its_time(
    tmp_path: Path, verify: Verify, capfd: pytest.CaptureFixture[str]
) -> None:
    source = archived(tmp_path, APP, LIB)
    assert verify(source, public_key=certificate(tmp_path, "20200101", "20990101")).code == 0
    for first, last, within in (
        ("20200101", "20210101", "2020-06-01"),
        ("20980101", "20990101", "2098-06-01"),
    ):
        path = certificate(tmp_path, first, last)
        assert verify(source, "--at", f"{within}T12:00:00+02:00", public_key=path).code == 0
        for more in ([], ["--at", "2050-01-01T00:00:00.5z"]):
            assert main(["ocm", "verify", source, "-s", "sig", "-k", path, *more]) == 125
            shown = capfd.readouterr()
            assert (shown.out, shown.err.count("\n")) == ("", 1)
            assert f"is valid from {first[:4]}-01-01T00:00:00Z" in shown.err


@pytest.mark.parametrize(
    "text",
    ["now", "2024-05-01", "2024-05-01T12:00:00", "2024-13-01T12:00:00Z", "20240501T120000Z", ""],
)
def test_a_time_is_one_of_rfc_3339(text: str, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["ocm", "verify", "x//y", "-s", "sig", "-k", key, "--at", text]) == 2
    assert "--at" in capfd.readouterr().err


def test_what_stops_verification_is_no_verdict(
    tmp_path: Path, key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    source = archived(tmp_path, APP, LIB)
    small = tmp_path / "small"
    openssl("genrsa", "-out", str(small), "1024")
    (tmp_path / "small.pub").write_bytes(openssl("rsa", "-in", str(small), "-pubout"))
    for name, path, message in (
        (f"{source}-rc", key, "the component version example.com/app:1.0.0-rc is not there"),
        (source, str(tmp_path / "none"), "cannot be read"),
        (
            source,
            source.partition("//")[0] + "/artifact-index.json",
            "neither a public key nor a certificate",
        ),
        (source, str(tmp_path / "small.pub"), "has 1024 bits, and RSA keys of less than 2048 can be broken"),
    ):
        for more in ([], ["--json"]):
            assert main(["ocm", "verify", name, "-s", "sig", "-k", path, *more]) == 125
            shown = capfd.readouterr()
            assert (shown.out, shown.err.count("\n")) == ("", 1)
            assert message in shown.err
    shutil.rmtree(source.partition("//")[0])
    assert main(["ocm", "verify", source, "-s", "sig", "-k", key]) == 125


def test_names_of_strangers_stay_in_their_line(
    tmp_path: Path, key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    access = {"type": "x\nok  resource\x1b[2J"}
    assert main(["ocm", "verify", archived(tmp_path, elsewhere(access)), "-s", "sig", "-k", key]) == 1
    shown = capfd.readouterr().out
    assert (len(shown.splitlines()), "\x1b" in shown) == (6, False)


def test_a_missing_library_is_told_with_the_command_that_installs_it(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = str(tmp_path / "archive.ctf")
    make_archive(archive, LIB)
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    code = main(["ocm", "verify", f"{archive}//example.com/lib:2.0.0", "-s", "mine", "-k", key])
    out, err = capfd.readouterr()
    assert (code, out) == (125, "")
    assert (
        "needs the Python library cryptography, which is not installed: run pip install 'tweed-shim[crypto]'"
        in err
    )
    assert err.endswith("or in a clone pip install '.[crypto]'\n")
