"""Where the bytes of a run go: the bounded result, the log with its ring, the shim's own streams, and feeds."""

import os
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.runtime.streams import SHOWN_PENDING, Feed, Log, Result, Shown

HEAD, TAIL = 10, 6


def logged(path: Path, chunks: list[bytes]) -> bytes:
    """Return the file of a log of HEAD and TAIL bytes after these writes."""
    log = Log(os.fspath(path), head=HEAD, tail=TAIL)
    for chunk in chunks:
        log.write(chunk)
    log.close()
    return path.read_bytes()


def test_a_short_log_is_the_stream(tmp_path: Path) -> None:
    assert logged(tmp_path / "log", [b"0123", b"456789", b"abcdef"]) == b"0123456789abcdef"
    assert os.listdir(tmp_path) == ["log"]


def test_a_long_log_has_its_beginning_and_its_end_and_says_what_is_missing(tmp_path: Path) -> None:
    assert (
        logged(tmp_path / "log", [b"0123456789", b"abcdefgh"])
        == b"0123456789\n[... 2 bytes are missing here ...]\ncdefgh"
    )
    assert os.listdir(tmp_path) == ["log"]


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_a_log_does_not_depend_on_how_the_stream_is_cut(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    stream = b"".join(chunks)
    path = tmp_path_factory.mktemp("log") / "log"
    beyond = len(stream) - HEAD - TAIL
    missing = b"\n[... %d bytes are missing here ...]\n" % beyond
    expected = stream if beyond <= 0 else stream[:HEAD] + missing + stream[-TAIL:]
    assert logged(path, [chunk for chunk in chunks if chunk] or [b""]) == expected


def test_the_end_of_a_long_log_is_beside_it_until_it_is_closed(tmp_path: Path) -> None:
    log = Log(os.fspath(tmp_path / "log"), head=HEAD, tail=TAIL)
    log.write(b"x" * 100)
    assert (tmp_path / "log").stat().st_size == HEAD
    assert (tmp_path / "log.tail").stat().st_size == TAIL
    log.close()
    assert not (tmp_path / "log.tail").exists()


def test_a_log_without_bytes_has_no_file(tmp_path: Path) -> None:
    Log(os.fspath(tmp_path / "log")).close()
    assert os.listdir(tmp_path) == []


def test_a_log_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("elsewhere")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        Log(os.fspath(tmp_path / "log")).write(b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_a_result_that_is_too_long_is_cut_and_marked() -> None:
    result = Result(4)
    result.write(b"1234")
    assert (result.value(), result.overflow) == (b"1234", False)
    result.write(b"5")
    assert (result.value(), result.overflow) == (b"1234", True)


def test_a_feed_is_written_in_parts_and_closed() -> None:
    read, write = os.pipe()
    data = os.urandom(200_000)  # more than a pipe holds
    feed = Feed(FileIO(write, "wb"), data)
    taken = bytearray()
    while feed.feed_some():
        taken += os.read(read, 1 << 20)
    feed.close()
    while part := os.read(read, 1 << 20):
        taken += part
    os.close(read)
    assert taken == data


def test_a_feed_ends_where_its_reader_is_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    feed = Feed(FileIO(write, "wb"), b"data")
    assert not feed.feed_some()
    feed.close()


def test_a_stream_whose_reader_is_slow_has_bytes_waiting_and_is_full_at_a_bound() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    shown = Shown(write)
    for _ in range(64):
        shown.write(bytes(SHOWN_PENDING))
        while shown.waiting and not shown.full:
            shown.flush_some()
    assert shown.full
    shown.write(b"dropped")
    taken = 0
    while shown.waiting:
        shown.flush_some()
        taken += len(os.read(read, 1 << 20))
    assert taken == SHOWN_PENDING
    os.close(read)
    os.close(write)


def test_a_stream_whose_reader_is_gone_drops_what_is_written() -> None:
    read, write = os.pipe()
    os.close(read)
    shown = Shown(write)
    shown.write(b"lost")
    shown.flush_some()
    shown.write(b"lost as well")
    assert not shown.waiting
    os.close(write)
