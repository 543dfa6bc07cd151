"""A server that sends next to nothing holds nobody: the lowest rate of an answer, and the time limit of a pull."""

import io
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import pytest

from layouts import Layer, LayoutWriter, build_layout
from servers import Fault, FaultyProxy, RegistryServer, faulty_proxy
from tweed_shim.base import deadline
from tweed_shim.base.deadline import Deadline
from tweed_shim.errors import PullTimedOut, RegistryError
from tweed_shim.host import workdirs
from tweed_shim.http import transfer_rate
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.http.connection import Patience
from tweed_shim.http.transfer_rate import LowestRate, TooSlow
from tweed_shim.image import pull, store
from tweed_shim.image.download import download_blob
from tweed_shim.image.reference import parse
from tweed_shim.image.registry import Repository, open_repository

# A byte comes long before a read would time out.
PATIENCE = Patience(
    attempts=2, first_pause=0.001, longest_pause=0.002, read_timeout=30, lowest_rate=LowestRate(1024, 0.2)
)
DRIP = 0.02
SIZE = 50_000


class Pushed(NamedTuple):
    """An image in the registry, and the digest of its one layer."""

    digest: str
    layer: str
    size: int


@pytest.fixture(scope="module")
def pushed(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Pushed:
    layout = os.fspath(tmp_path_factory.mktemp("layout"))
    writer = LayoutWriter(layout)
    image = writer.image([Layer({"data": random.Random(2).randbytes(SIZE)}, "none")])
    writer.tag("image", image)
    registry.push(layout, "image", "slow:1", extra=["--preserve-digests"])
    with open_repository(parse(f"{registry.host}/slow")) as repository:
        manifest = repository.manifest("1")
    layer = json.loads(manifest.body)["layers"][0]
    return Pushed(manifest.digest, layer["digest"], layer["size"])


@pytest.fixture
def proxy(registry: RegistryServer, pushed: Pushed) -> Iterator[FaultyProxy]:
    with faulty_proxy(registry.host) as proxy:
        yield proxy


@pytest.fixture
def opened(tmp_path: os.PathLike[str], proxy: FaultyProxy) -> Iterator[Callable[..., Repository]]:
    environ = {"HOME": os.fspath(tmp_path), "XDG_RUNTIME_DIR": os.fspath(tmp_path)}
    repositories = []

    def open_one(**options: Any) -> Repository:
        settings = {"environ": environ, "patience": PATIENCE, **options}
        repositories.append(open_repository(parse(f"{proxy.host}/slow"), **settings))
        return repositories[-1]

    yield open_one
    for each in repositories:
        each.close()


Opened = Callable[..., Repository]
LONG_BODY = Fault(200, body=b"x" * 100_000)


@pytest.mark.parametrize("dry", [0, 30, 1000])
def test_an_answer_that_drips_is_given_up_in_its_header_and_in_its_body(
    opened: Opened, proxy: FaultyProxy, dry: int
) -> None:
    repository = opened()
    proxy.spoil("manifests", LONG_BODY._replace(drip=DRIP, dry=dry), times=100)
    with pytest.raises(
        RegistryError, match=f"the registry {proxy.host} answers too slowly, at less than 1 KiB/s"
    ):
        repository.manifest("1")
    assert len(proxy.requests("manifests")) == PATIENCE.attempts


def test_a_token_server_that_drips_is_given_up(opened: Opened, proxy: FaultyProxy) -> None:
    repository = opened()
    proxy.spoil("GET /token", LONG_BODY._replace(drip=DRIP, dry=300), times=100)
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{proxy.host}/token"'}
    proxy.spoil("manifests", Fault(401, challenge), times=100)
    with pytest.raises(RegistryError, match=f"{proxy.host} answers too slowly"):
        repository.manifest("1")


def test_the_body_of_a_redirect_neither_drips_nor_fills_the_memory(
    opened: Opened, proxy: FaultyProxy
) -> None:
    repository = opened()
    body = b"x" * 100_000
    proxy.spoil("manifests", Fault(307, {"Location": "/v2/other"}, body, drip=DRIP, dry=300), times=100)
    with pytest.raises(RegistryError, match=f"{proxy.host} answers too slowly"):
        repository.manifest("1")
    # Longer than what is read, and never whole: who waits for its end waits in vain.
    proxy.spoil("blobs", Fault(307, {"Location": "/v2/other", "Content-Length": str(1 << 40)}, body), times=1)
    proxy.spoil("/v2/other", Fault(200, body=b"y"))
    with repository.open_blob(f"sha256:{'0' * 64}") as blob:
        assert b"".join(blob.chunks) == b"y"


def test_a_blob_that_drips_once_goes_on_where_it_was(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed, tmp_path: os.PathLike[str]
) -> None:
    path = os.path.join(tmp_path, "blob")
    proxy.spoil("blobs", Fault(drip=DRIP, dry=20_000))
    download_blob(opened(), pushed.layer, pushed.size, path)
    assert os.path.getsize(path) == pushed.size
    assert "Range" in proxy.requests("blobs")[1].headers


def test_progress_that_is_too_slow_earns_no_more_tries(
    opened: Opened, proxy: FaultyProxy, pushed: Pushed, tmp_path: os.PathLike[str]
) -> None:
    # Each connection brings more than the hundredth of the blob that renews the tries where one breaks.
    proxy.spoil("blobs", Fault(drip=DRIP, dry=5_000), times=100)
    with pytest.raises(RegistryError, match=r"answers too slowly.*\(tried 2 times\)"):
        download_blob(opened(), pushed.layer, pushed.size, os.path.join(tmp_path, "blob"))
    assert os.listdir(tmp_path) == []


class Slowly(io.RawIOBase):
    """Gives one byte at each read, and lets the clock of the test go on meanwhile."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._clock[0] += self._seconds
        buffer[:1] = b"x"
        return 1


@pytest.mark.parametrize(("seconds", "slow"), [(5, True), (0.11, True), (0.09, False), (0, False)])
def test_the_rate_is_measured_while_the_server_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, seconds: float, slow: bool
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    reader = transfer_rate._MeteredReader(Slowly(clock, seconds), LowestRate(10, 60))
    with pytest.raises(TooSlow) if slow else nullcontext():
        for _ in range(2000):
            reader.read(1)
            # The caller writes to a slow disk.
            clock[0] += 1000
    reader.close()


# ---- the time limit


def test_a_deadline_ends_what_waits(opened: Opened, proxy: FaultyProxy) -> None:
    repository = opened(deadline=Deadline(0.5, "the image"))
    proxy.spoil("manifests", Fault(stall=10), times=100)
    with pytest.raises(PullTimedOut, match=r"pulling the image took longer than 0\.5 s"):
        repository.manifest("1")


def test_a_deadline_ends_a_pause(opened: Opened, proxy: FaultyProxy) -> None:
    context = Patience(longest_pause=600)
    repository = opened(deadline=Deadline(0.5, "the image"), patience=context)
    proxy.spoil("manifests", Fault(429, {"Retry-After": "500"}), times=100)
    with pytest.raises(PullTimedOut):
        repository.manifest("1")


def test_a_deadline_that_is_not_reached_leaves_no_thread(opened: Opened, pushed: Pushed) -> None:
    with opened(deadline=Deadline(1e12, "the image")) as repository:
        assert repository.manifest("1").digest == pushed.digest
        [alarm] = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
    alarm.join(10)
    assert not alarm.is_alive()


def test_a_pull_that_is_over_its_time_leaves_the_store_as_it_was(tmp_path: os.PathLike[str]) -> None:
    root, layout = os.path.join(tmp_path, "root"), os.path.join(tmp_path, "layout")
    build_layout(layout)
    with pytest.raises(PullTimedOut, match=f"pulling oci:{layout}.* took longer than 1e-09 s"):
        pull.obtain(root, f"oci:{layout}", connect=ConnectOptions(timeout=1e-9))
    assert os.listdir(os.path.join(root, "rootfs")) == []
    assert not any(name.startswith(("work-", "lock-")) for name in os.listdir(os.path.join(root, "tmp")))
    assert pull.obtain(root, f"oci:{layout}", connect=ConnectOptions(timeout=100)).digest


def test_a_connection_that_the_deadline_ended_is_no_news(tmp_path: os.PathLike[str]) -> None:
    @contextmanager
    def broken() -> Iterator[Any]:
        raise RegistryError("the token server gave no token")
        yield

    with pytest.raises(PullTimedOut):
        pull.obtain(
            os.path.join(tmp_path, "root"), "r.example/x", source=broken, connect=ConnectOptions(timeout=1e-9)
        )
    with pytest.raises(RegistryError, match="no token"):
        pull.obtain(os.path.join(tmp_path, "root"), "r.example/x", source=broken)


def test_the_unpacking_counts(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    root, layout = os.path.join(tmp_path, "root"), os.path.join(tmp_path, "layout")
    build_layout(layout)
    begun = threading.Event()
    check = deadline.Deadline.check

    def check_late(self: Deadline) -> None:
        # The time is over as soon as umoci writes.
        if any(name == "tree" for _, names, _ in os.walk(os.path.join(root, "tmp")) for name in names):
            begun.set()
            self._end = time.monotonic()
        check(self)

    monkeypatch.setattr(deadline.Deadline, "check", check_late)
    with pytest.raises(PullTimedOut):
        pull.obtain(root, f"oci:{layout}", connect=ConnectOptions(timeout=1000))
    assert begun.is_set()
    assert os.listdir(os.path.join(root, "rootfs")) == []


def test_waiting_for_another_pull_counts(tmp_path: os.PathLike[str]) -> None:
    root, layout = os.path.join(tmp_path, "root"), os.path.join(tmp_path, "layout")
    digest = build_layout(layout)
    store.open_store(root)
    # As another process does that unpacks the same image.
    with workdirs.only_one(root, f"unpack-{digest.partition(':')[2]}"), pytest.raises(PullTimedOut):
        pull.obtain(root, f"oci:{layout}", connect=ConnectOptions(timeout=0.5))
    assert pull.obtain(root, f"oci:{layout}", connect=ConnectOptions(timeout=100)).digest == digest
