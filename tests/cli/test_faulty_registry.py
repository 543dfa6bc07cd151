"""What a registry can do wrong, as `pull` meets it: survived, or refused in one sentence, and never a wrong byte kept.

The table is the list. What is not in it, because it takes more than one pull to see (time-outs, pauses, pieces that
are kept), is in tests/image/test_registry.py and tests/image/test_download.py.
"""

import json
import os
import random
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import NamedTuple

import pytest

from accounts import Account
from installed import Shim, fresh_shim
from layouts import INDEX, MANIFEST, File, Layer, LayoutWriter, build_layout, digest_of
from servers import Fault, FaultyProxy, RegistryServer, corrupt, faulty_proxy

ALWAYS = 1000
MIB = 1 << 20
BLOB_SIZE = 300_000


class Published(NamedTuple):
    """An image in the registry. blob: the digest of the layer that is attacked, of `size` bytes."""

    registry: RegistryServer
    blob: str
    size: int
    manifest: bytes


@pytest.fixture(scope="module")
def published(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Published:
    layout = os.fspath(tmp_path_factory.mktemp("layout"))
    noise = random.Random(0).randbytes(BLOB_SIZE)
    digest = build_layout(layout, layers=[Layer({"noise": File(noise)})])
    registry.push(layout, "latest", "faulty:1")
    with open(LayoutWriter(layout).blob_path(digest), "rb") as file:
        manifest = file.read()
    layer = json.loads(manifest)["layers"][-1]
    return Published(registry, layer["digest"], layer["size"], manifest)


@pytest.fixture
def proxy(published: Published) -> Iterator[FaultyProxy]:
    with faulty_proxy(published.registry.host) as running:
        yield running


@pytest.fixture
def root(accounts: dict[str, Account], program: str) -> Iterator[Shim]:
    with fresh_shim(accounts["root"], program) as shim:
        yield shim


def redirect(target: str) -> Fault:
    return Fault(status=307, headers={"Location": target})


def index_of(digest: str, size: int, media_type: str) -> bytes:
    entry = {"mediaType": media_type, "digest": digest, "size": size}
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()


def answer(body: bytes, media_type: str = INDEX) -> Fault:
    return Fault(status=200, headers={"Content-Type": media_type}, body=body)


Spoil = Callable[[FaultyProxy, Published], None]


def blob(fault: Callable[[Published], Fault], *, times: int = 1) -> Spoil:
    return lambda proxy, published: proxy.spoil(
        f"GET /v2/faulty/blobs/{published.blob}", fault(published), times=times
    )


def tag(fault: Callable[[Published], Fault], *, times: int = 1) -> Spoil:
    return lambda proxy, published: proxy.spoil(
        "(GET|HEAD) /v2/faulty/manifests/1", fault(published), times=times
    )


def any_request(fault: Fault, *, times: int) -> Spoil:
    return lambda proxy, _: proxy.spoil("GET /v2/faulty/", fault, times=times)


def _nested(depth: int) -> Spoil:
    """An index in an index, `depth` of them, whose innermost names an image; each is what its digest says."""

    def spoil(proxy: FaultyProxy, published: Published) -> None:
        body, kind = published.manifest, MANIFEST
        for _ in range(depth):
            proxy.spoil(f"GET .*/manifests/{digest_of(body)}", answer(body, kind), times=ALWAYS)
            body, kind = index_of(digest_of(body), len(body), kind), INDEX
        proxy.spoil("GET .*/manifests/1$", answer(body), times=ALWAYS)

    return spoil


def _cut_and_whole(proxy: FaultyProxy, published: Published) -> None:
    proxy.spoil(f"GET .*{published.blob}", Fault(cut=published.size // 2))
    proxy.spoil(f"GET .*{published.blob}", Fault(whole=True), times=ALWAYS)


def _in_itself(proxy: FaultyProxy, published: Published) -> None:
    # A real index in itself would take a broken sha256; a registry that lies answers every digest with the same index.
    body = index_of(digest_of(b"any"), 500, INDEX)
    proxy.spoil("GET .*/manifests/", answer(body), times=ALWAYS)


SURVIVED: dict[str, Spoil] = {
    "a connection cut at every tenth of a blob": blob(lambda it: Fault(cut=it.size // 10 + 1), times=9),
    "a connection cut before the first byte": blob(lambda _: Fault(cut=0)),
    "a byte corrupted once": blob(lambda it: corrupt(it.size // 2)),
    "a body that is too short": blob(lambda it: Fault(change=lambda body: body[: it.size // 3])),
    "a body that is too long once": blob(lambda _: Fault(change=lambda body: body + b"more")),
    "a Content-Length that is too large": blob(
        lambda it: Fault(headers={"Content-Length": str(it.size + 10)}, cut=it.size)
    ),
    "a Content-Length that is too small": blob(lambda _: Fault(headers={"Content-Length": "10"}, cut=MIB)),
    "a Content-Length that is no number": blob(lambda _: Fault(headers={"Content-Length": "many"}, cut=MIB)),
    "no Content-Length": blob(lambda _: Fault(headers={"Content-Length": None}, cut=MIB)),
    "429 with Retry-After": any_request(Fault(status=429, headers={"Retry-After": "1"}), times=1),
    "500 and then good": any_request(Fault(status=500, body=b"<html>"), times=2),
    "503 for a blob": blob(lambda _: Fault(status=503)),
    "a server that gives no parts": _cut_and_whole,
    "an index in an index": _nested(2),
}

REFUSED: dict[str, tuple[Spoil, str]] = {
    "a byte corrupted always": (
        blob(lambda _: corrupt(5)._replace(whole=True), times=ALWAYS),
        "has the digest sha256:.* the registry or a proxy changed it; push the image again, or use another network",
    ),
    "a body that is too long always": (
        blob(lambda _: Fault(change=lambda body: body + b"more", whole=True), times=ALWAYS),
        "is longer than the [0-9]+ bytes",
    ),
    "a blob that is not there": (blob(lambda _: Fault(status=404), times=ALWAYS), "blob"),
    "a redirect loop at a blob": (
        blob(lambda it: redirect(f"/v2/faulty/blobs/{it.blob}"), times=ALWAYS),
        "redirects without end",
    ),
    "a redirect to nowhere": (
        blob(lambda _: redirect("gopher://x"), times=ALWAYS),
        "redirects to a malformed address",
    ),
    "a manifest over 4 MiB": (
        tag(
            lambda _: Fault(headers={"Content-Type": MANIFEST}, change=lambda body: body + b" " * 4 * MIB),
            times=ALWAYS,
        ),
        "4 MiB",
    ),
    "an index nested in itself": (_in_itself, "digest"),
    "an index in an index in an index": (_nested(3), "an index in an index in an index"),
    "a digest that lies about the manifest": (
        tag(lambda _: Fault(headers={"Docker-Content-Digest": f"sha256:{'0' * 64}"}), times=ALWAYS),
        "digest",
    ),
    "a manifest that is not JSON": (
        tag(lambda _: Fault(headers={"Docker-Content-Digest": None}, change=lambda _: b"{"), times=ALWAYS),
        "JSON",
    ),
    "a redirect loop at the manifest": (
        tag(lambda _: redirect("/v2/faulty/manifests/1"), times=ALWAYS),
        "without end",
    ),
}


def examine_store(root: str) -> None:
    """Every blob is what its name says, and nothing is under way."""
    directory = os.path.join(root, "images", "blobs", "sha256")
    for name in os.listdir(directory):
        with open(os.path.join(directory, name), "rb") as file:
            assert sha256(file.read()).hexdigest() == name
    assert os.listdir(os.path.join(root, "tmp")) == []


@pytest.mark.parametrize("fault", SURVIVED)
def test_a_pull_survives_a_temporary_fault_of_the_registry(
    root: Shim, proxy: FaultyProxy, published: Published, fault: str
) -> None:
    SURVIVED[fault](proxy, published)
    done = root.run("pull", f"{proxy.host}/faulty:1")
    assert done.code == 0, done
    assert proxy.spoiled
    examine_store(root.root)
    [noise] = os.listdir(os.path.join(root.root, "rootfs"))
    with open(os.path.join(root.root, "rootfs", noise, "rootfs", "noise"), "rb") as file:
        assert file.read() == random.Random(0).randbytes(BLOB_SIZE)


@pytest.mark.parametrize("fault", REFUSED)
def test_a_permanent_fault_of_the_registry_is_one_sentence_and_leaves_nothing(
    root: Shim, proxy: FaultyProxy, published: Published, fault: str
) -> None:
    spoil, words = REFUSED[fault]
    spoil(proxy, published)
    done = root.run("pull", f"{proxy.host}/faulty:1")
    assert (done.code, done.out) == (125, b""), done
    assert proxy.spoiled
    [line] = done.err.decode().splitlines()
    assert re.match(f"tweed-shim: .*{words}", line)
    examine_store(root.root)
    assert root.run("images", "--json").out.strip() == b"[]"
    assert os.listdir(os.path.join(root.root, "rootfs")) == []
    assert root.run("pull", f"{published.registry.host}/faulty:1").code == 0
    examine_store(root.root)


def test_a_redirect_to_another_host_takes_no_credentials_along(
    root: Shim, published: Published, registry_with_password: RegistryServer, proxy: FaultyProxy
) -> None:
    server = registry_with_password
    with faulty_proxy(server.host) as first:
        env = {"DOCKER_CONFIG": os.path.dirname(root.root)}
        login = ("login", first.host, "--username", server.user, "--password-stdin")
        assert root.run(*login, stdin=server.password.encode(), env=env).code == 0
        document = json.loads(published.manifest)
        first.spoil("GET .*/manifests/", answer(published.manifest, MANIFEST), times=ALWAYS)
        # The other host has the blobs, and asks nobody who they are.
        for each in (document["config"], *document["layers"]):
            path = f"/v2/faulty/blobs/{each['digest']}"
            first.spoil(f"GET {path}", redirect(f"http://{proxy.host}{path}"), times=ALWAYS)
        done = root.run("pull", f"{first.host}/faulty:1", env=env)
        assert done.code == 0, done
        assert any("Authorization" in each.headers for each in first.seen)
    assert proxy.requests("GET .*/blobs/")
    assert not any("Authorization" in each.headers for each in proxy.seen)
    examine_store(root.root)


def test_a_pull_from_a_silent_registry_can_be_interrupted(
    root: Shim, proxy: FaultyProxy, published: Published
) -> None:
    proxy.spoil(f"GET .*{published.blob}", Fault(stall=BLOB_SIZE // 2))
    with root.start("pull", f"{proxy.host}/faulty:1") as process:
        assert proxy.stalling.wait(60)
        process.terminate()
        _, output = process.communicate(timeout=20)
    assert process.returncode == 128 + 15
    assert b"Traceback" not in output
    examine_store(root.root)
