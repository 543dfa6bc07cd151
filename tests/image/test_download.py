import hashlib
import json
import os
import random
import resource
import signal
import stat
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from layouts import Layer, LayoutWriter
from servers import Fault, FaultyProxy, RegistryServer, corrupt, faulty_proxy
from tweed_shim.base.records import replace
from tweed_shim.errors import HostError, RegistryError
from tweed_shim.http.retries import RetryPolicy
from tweed_shim.image.blobs import Job
from tweed_shim.image.download import download_all, download_blob
from tweed_shim.image.manifest import Descriptor
from tweed_shim.image.reference import parse
from tweed_shim.image.registry import Repository, open_repository

SHORT = RetryPolicy(attempts=3, first_pause=0.001, longest_pause=0.002)
LAYERS = 6


class Setting(NamedTuple):
    """A repository seen through a proxy, the first of its blobs, and a directory to write to."""

    proxy: FaultyProxy
    repository: Repository
    blobs: list[Descriptor]
    contents: list[bytes]
    directory: str

    @property
    def path(self) -> str:
        return os.path.join(self.directory, "blob")

    def download(self) -> list[int]:
        """Get the first blob; returns the progress that was told."""
        told: list[int] = []
        blob = self.blobs[0]
        download_blob(self.repository, Job(blob, self.path), progress=told.append)
        return told

    def jobs(self) -> list[Job]:
        return [Job(blob, os.path.join(self.directory, blob.digest)) for blob in self.blobs]

    def assert_whole(self) -> None:
        with open(self.path, "rb") as file:
            assert file.read() == self.contents[0]

    def offsets(self) -> list[int]:
        """Where each request for a blob began."""
        ranges = [each.headers.get("Range", "bytes=0-") for each in self.proxy.requests("blobs")]
        return [int(each.removeprefix("bytes=").rstrip("-")) for each in ranges]


@pytest.fixture(scope="module")
def image(registry: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> LayoutWriter:
    """A pushed image whose layers do not compress."""
    writer = LayoutWriter(os.fspath(tmp_path_factory.mktemp("layout")))
    layers = [Layer({"data": random.Random(number).randbytes(100_000)}) for number in range(LAYERS)]
    writer.tag("image", writer.image(layers))
    registry.push(writer.path, "image", "download:1", extra=["--preserve-digests"])
    return writer


@pytest.fixture
def retry_policy() -> RetryPolicy:
    return SHORT


@pytest.fixture
def setting(
    registry: RegistryServer, image: LayoutWriter, tmp_path: os.PathLike[str], retry_policy: RetryPolicy
) -> Iterator[Setting]:
    with (
        faulty_proxy(registry.host) as proxy,
        open_repository(
            parse(f"{proxy.host}/download:1"),
            environ={"HOME": os.fspath(tmp_path)},
            retry_policy=retry_policy,
        ) as repository,
    ):
        layers = json.loads(repository.manifest("1").body)["layers"]
        blobs = [Descriptor(each["mediaType"], each["digest"], each["size"]) for each in layers]
        contents = []
        for each in blobs:
            with open(image.blob_path(each.digest), "rb") as file:
                contents.append(file.read())
        directory = os.path.join(tmp_path, "blobs")
        os.mkdir(directory)
        yield Setting(proxy, repository, blobs, contents, directory)


def test_a_blob_is_written_whole_and_private(setting: Setting) -> None:
    told = setting.download()
    setting.assert_whole()
    assert sum(told) == setting.blobs[0].size
    assert stat.S_IMODE(os.stat(setting.path).st_mode) == 0o600
    assert os.listdir(setting.directory) == ["blob"]


def test_a_blob_with_a_sha512_digest_is_verified_too(setting: Setting) -> None:
    # docker-registry keeps sha256 alone, so the proxy gives the blob under its other name.
    content = setting.contents[0]
    for body, good in ((content, True), (content[:-1] + b"x", False)):
        setting.proxy.spoil("sha512", Fault(200, body=body), times=2)
        digest = f"sha512:{hashlib.sha512(content).hexdigest()}"
        if good:
            download_blob(setting.repository, Job(Descriptor("", digest, len(content)), setting.path))
            setting.assert_whole()
            os.unlink(setting.path)
            setting.proxy.fault_for("GET", "sha512")
        else:
            with pytest.raises(RegistryError, match="has the digest sha512:"):
                download_blob(setting.repository, Job(Descriptor("", digest, len(content)), setting.path))


@pytest.mark.parametrize("tenth", range(10))
def test_a_cut_download_is_resumed_from_where_it_stopped(setting: Setting, tenth: int) -> None:
    cut = setting.blobs[0].size * tenth // 10
    setting.proxy.spoil("blobs", Fault(cut=cut))
    told = setting.download()
    setting.assert_whole()
    assert setting.offsets() == [0, cut]
    assert all(each > 0 for each in told)
    assert sum(told) == setting.blobs[0].size


def test_a_download_survives_more_cuts_than_tries_while_it_gets_on(setting: Setting) -> None:
    size = setting.blobs[0].size
    for _ in range(9):
        setting.proxy.spoil("blobs", Fault(cut=size // 10))
    setting.download()
    setting.assert_whole()
    assert setting.offsets() == [size // 10 * number for number in range(10)]


def test_a_download_that_does_not_get_on_is_given_up(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(cut=10), times=100)
    with pytest.raises(RegistryError, match=r"broke.*\(tried 3 times\)"):
        setting.download()
    assert setting.offsets() == [0, 10, 20]
    assert os.listdir(setting.directory) == []


@pytest.mark.parametrize("retry_policy", [replace(SHORT, read_timeout=0.2)])
def test_a_stalled_download_is_resumed(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(stall=50_000))
    setting.download()
    setting.assert_whole()
    assert setting.offsets() == [0, 50_000]


@pytest.mark.parametrize("retry_policy", [replace(SHORT, read_timeout=0.1)])
def test_a_download_that_stays_silent_is_given_up(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(stall=0), times=100)
    with pytest.raises(RegistryError, match="did not answer in time"):
        setting.download()
    assert os.listdir(setting.directory) == []


def test_a_registry_without_ranges_is_asked_for_all_again(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(cut=1000))
    setting.proxy.spoil("blobs", Fault(whole=True))
    told = setting.download()
    setting.assert_whole()
    assert -1000 in told
    assert sum(told) == setting.blobs[0].size


def test_a_range_that_is_refused_means_all_again(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(cut=1000))
    setting.proxy.spoil("blobs", Fault(416))
    setting.download()
    setting.assert_whole()
    assert setting.offsets() == [0, 1000, 0]


def test_another_part_than_asked_for_is_never_written(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(cut=1000))
    setting.proxy.spoil("blobs", Fault(headers={"Content-Range": "bytes 900-1000/2000"}), times=100)
    with pytest.raises(RegistryError, match="sent another range of the blob"):
        setting.download()
    assert os.listdir(setting.directory) == []


@pytest.mark.parametrize("at", [0, 50_000, -1])
def test_a_byte_that_was_hurt_on_the_way_is_survived(setting: Setting, at: int) -> None:
    setting.proxy.spoil("blobs", corrupt(at % setting.blobs[0].size))
    told = setting.download()
    setting.assert_whole()
    assert sum(told) == setting.blobs[0].size


def test_a_blob_that_is_wrong_again_is_refused(setting: Setting) -> None:
    setting.proxy.spoil("blobs", corrupt(7), times=100)
    with pytest.raises(RegistryError, match=f"the blob {setting.blobs[0].digest} has the digest sha256:"):
        setting.download()
    assert len(setting.offsets()) == 2
    assert os.listdir(setting.directory) == []


def test_a_byte_that_is_hurt_in_a_part_is_survived(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(cut=1000))
    setting.proxy.spoil("blobs", corrupt(7))
    setting.download()
    setting.assert_whole()
    assert setting.offsets() == [0, 1000, 0]


def test_a_short_body_is_completed(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(change=lambda body: body[:-100]))
    setting.download()
    setting.assert_whole()
    assert setting.offsets() == [0, setting.blobs[0].size - 100]


def test_a_blob_that_is_shorter_than_stated_is_refused(setting: Setting) -> None:
    blob = setting.blobs[0]
    with pytest.raises(RegistryError, match=f"ends before its {blob.size + 10} bytes"):
        download_blob(setting.repository, Job(Descriptor("", blob.digest, blob.size + 10), setting.path))
    assert os.listdir(setting.directory) == []


def test_a_long_body_is_survived_once(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(change=lambda body: body + b"more"))
    setting.download()
    setting.assert_whole()


def test_a_blob_that_is_longer_than_stated_is_refused(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(change=lambda body: body + bytes(1 << 20)), times=100)
    with pytest.raises(RegistryError, match=f"is longer than the {setting.blobs[0].size} bytes"):
        setting.download()
    assert os.listdir(setting.directory) == []


@pytest.mark.parametrize("by", [-1000, 1000])
def test_a_wrong_content_length_is_survived(setting: Setting, by: int) -> None:
    headers = {"Content-Length": str(setting.blobs[0].size + by), "Connection": "close"}
    setting.proxy.spoil("blobs", Fault(headers=headers, cut=setting.blobs[0].size))
    setting.download()
    setting.assert_whole()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_fault_is_survived(setting: Setting, status: int) -> None:
    setting.proxy.spoil("blobs", Fault(status, {"Retry-After": "0"}), times=2)
    setting.download()
    setting.assert_whole()


def test_a_fault_that_stays_ends_the_download(setting: Setting) -> None:
    setting.proxy.spoil("blobs", Fault(503), times=100)
    with pytest.raises(RegistryError, match="HTTP 503"):
        setting.download()
    assert len(setting.offsets()) == 3
    assert os.listdir(setting.directory) == []


def test_an_empty_blob_can_be_got(setting: Setting) -> None:
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    setting.proxy.spoil(empty, Fault(200))
    download_blob(setting.repository, Job(Descriptor("", empty, 0), setting.path))
    assert os.path.getsize(setting.path) == 0


def test_a_file_that_is_there_is_left_alone(setting: Setting) -> None:
    with open(setting.path, "wb") as file:
        file.write(b"somebody else's")
    with pytest.raises(HostError, match=setting.path):
        setting.download()
    with open(setting.path, "rb") as file:
        assert file.read() == b"somebody else's"


def test_a_place_that_cannot_be_written_is_named(setting: Setting) -> None:
    blob = setting.blobs[0]
    with pytest.raises(HostError, match=r"cannot write .*/nowhere/blob: No such file"):
        download_blob(setting.repository, Job(blob, os.path.join(setting.directory, "nowhere", "blob")))


@pytest.mark.parametrize("workers", [1, 3, 20])
def test_blobs_are_got_side_by_side(setting: Setting, workers: int) -> None:
    lock, told = threading.Lock(), 0

    def progress(count: int) -> None:
        nonlocal told
        with lock:
            told += count

    download_all(setting.repository, setting.jobs(), workers=workers, progress=progress)
    for job, content in zip(setting.jobs(), setting.contents, strict=True):
        with open(job.path, "rb") as file:
            assert file.read() == content
    assert told == sum(blob.size for blob in setting.blobs)


def test_many_blobs_survive_many_faults(setting: Setting) -> None:
    for job in setting.jobs():
        setting.proxy.spoil(job.blob.digest, Fault(500))
        setting.proxy.spoil(job.blob.digest, Fault(cut=30_000))
        setting.proxy.spoil(job.blob.digest, Fault(429, {"Retry-After": "0"}))
        setting.proxy.spoil(job.blob.digest, corrupt(1))
    download_all(setting.repository, setting.jobs())
    for job, content in zip(setting.jobs(), setting.contents, strict=True):
        with open(job.path, "rb") as file:
            assert file.read() == content


@pytest.mark.parametrize("retry_policy", [RetryPolicy(attempts=1, read_timeout=3600)])
def test_the_first_failure_ends_the_others_even_if_they_are_silent(setting: Setting) -> None:
    """Without that it would take the hour of the time-out."""
    first, silent = setting.jobs()[:2]

    def wait_for_silence(body: bytes) -> bytes:
        assert setting.proxy.stalling.wait(60)
        return body[::-1]

    setting.proxy.spoil(silent.blob.digest, Fault(stall=1000))
    setting.proxy.spoil(first.blob.digest, Fault(change=wait_for_silence), times=2)
    with pytest.raises(RegistryError, match=f"the blob {first.blob.digest} has the digest"):
        download_all(setting.repository, setting.jobs(), workers=2)
    assert os.listdir(setting.directory) == []
    assert len({each.path for each in setting.proxy.requests("blobs")}) == 2


@pytest.mark.parametrize("retry_policy", [RetryPolicy(attempts=2, first_pause=3600, longest_pause=3600)])
def test_the_first_failure_ends_downloads_that_wait_for_a_retry(setting: Setting) -> None:
    first, waiting = setting.jobs()[:2]
    setting.proxy.spoil(waiting.blob.digest, Fault(503))
    setting.proxy.spoil(first.blob.digest, Fault(404))
    with pytest.raises(RegistryError, match="does not have the blob"):
        download_all(setting.repository, [first, waiting])
    assert os.listdir(setting.directory) == []


def test_nothing_at_all_is_soon_got(setting: Setting) -> None:
    download_all(setting.repository, [])
    assert not setting.proxy.requests("blobs")


def test_a_file_whose_last_write_fails_is_removed(setting: Setting) -> None:
    # What is refused may be what the buffer still holds when all has come.
    blob = setting.blobs[0]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (blob.size - 1, limits[1]))
    try:
        with pytest.raises(HostError, match="cannot write"):
            setting.download()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not os.path.exists(setting.path)
