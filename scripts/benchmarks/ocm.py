"""(ocm): whether opening a component version depends on the size of its blobs, and how fast it is transported."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from benchmarks.figures import Figure, take_turns, timed
from benchmarks.setting import Place, Setting, own_directory

ROUNDS = 10
TRANSFERS = 3
MB = 10**6
SIZES = {"20 MB": 20 * MB, "200 MB": 200 * MB, "2 GB": 2000 * MB}
TRANSPORTED = 4 * 200 * MB
BLOBS = 4
FORMATS = ("directory", "tar")
NAME = "//example.com/big:1.0.0"
# Made by the installed package, as the user who is measured.
MAKE = """
import os, sys
from tweed_shim.image.archive_reader import Extent
from tweed_shim.ocm import blob_access, ctf, descriptor_codec
from tweed_shim.ocm.component_descriptor import ComponentDescriptor, Provider, Resource
from tweed_shim.ocm.oci_repository import OciRepository
from tweed_shim.ocm.repository import Addition

path, file_format, size, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def pieces(number):
    block, left = os.urandom(1 << 20), size // count
    while left > 0:
        yield block[:left]
        left -= len(block)


made = [blob_access.SpoolFile(pieces(number)).blob("application/octet-stream", "a blob") for number in range(count)]
resources = tuple(
    Resource(f"blob-{number}", "1", type="blob", relation="local", access={
        "type": "localBlob", "localReference": blob.digest, "mediaType": blob.media_type})
    for number, blob in enumerate(made)
)
about = ComponentDescriptor("example.com/big", "1.0.0", Provider("bench"), resources=resources)
with ctf.open_for_writing(path, file_format) as archive:
    OciRepository(archive).add(Addition(about, descriptor_codec.encode(about), made))
"""


def _make(setting: Setting, place: Place, name: str, file_format: str, size: int, count: int = 1) -> str:
    """A transport archive with blobs of so many bytes together."""
    path = os.path.join(place.directory, name)
    command = ["env", f"TMPDIR={place.directory}", setting.python, "-I", "-c", MAKE]
    place.output([*command, path, file_format, str(size), str(count)])
    return path


def opening(setting: Setting) -> list[Figure]:
    """`ocm get` of a component version in a tar, beside the same with smaller blobs."""
    with own_directory(setting.account) as place:
        contenders = {}
        for name, size in SIZES.items():
            path = _make(setting, place, name.replace(" ", "-"), "tar", size)
            contenders[name] = timed(partial(place.run, setting.shim(place, "ocm", "get", path + NAME)))
        seconds = take_turns(setting.rounds or ROUNDS, contenders)
    smallest, *others = SIZES
    return [
        Figure(f"ocm get, a tar of {name} / one of {smallest}", seconds[name], seconds[smallest], most=1.1)
        for name in others
    ]


def transport(setting: Setting) -> list[Figure]:
    """`ocm transfer` beside `cp` and `sha256sum` of the same bytes."""
    return [_transport(setting, file_format) for file_format in FORMATS]


def _transport(setting: Setting, file_format: str) -> Figure:
    with own_directory(setting.account) as place:
        source = _make(setting, place, "source", file_format, TRANSPORTED, BLOBS)
        target = os.path.join(place.directory, "target")
        transfer = setting.shim(place, "ocm", "transfer", "-q", "-t", file_format, source + NAME, target)
        script = 'cp -r "$1" "$2" && find "$2" -type f -exec sha256sum {} +'
        copy = ["sh", "-c", script, "sh", source, target]

        def rate(command: Sequence[str]) -> float:
            with _removed(target):
                return TRANSPORTED / MB / timed(partial(place.run, command))()

        contenders: dict[str, Callable[[], float]] = {
            "ours": partial(rate, transfer),
            "theirs": partial(rate, copy),
        }
        rates = take_turns(setting.rounds or TRANSFERS, contenders)
    what = f"MB/s, ocm transfer to a {file_format} / cp and sha256sum"
    return Figure(what, rates["ours"], rates["theirs"], unit="/s", least=0.7)


@contextmanager
def _removed(path: str) -> Iterator[None]:
    try:
        yield
    finally:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)
