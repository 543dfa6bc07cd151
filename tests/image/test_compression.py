import gzip
import itertools
from functools import partial

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import layouts
from refusals import refusal
from tweed_shim.errors import ImageError
from tweed_shim.image import compression

CONTENT = b"".join(number.to_bytes(4, "big") for number in range(700_000))


def pieces(data: bytes, size: int = 65536) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def expanded(data: bytes, how: str) -> bytes:
    return b"".join(compression.expand(pieces(data), how, "the layer"))


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_content_comes_back_in_bounded_pieces(how: str) -> None:
    parts = list(compression.expand(pieces(layouts.compress(CONTENT, how)), how, "the layer"))
    assert b"".join(parts) == CONTENT
    assert max(map(len, parts)) <= compression.PIECE


def test_several_members_or_frames_and_skippable_ones_are_one_content() -> None:
    frame = zstandard.ZstdCompressor().compress
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    assert expanded(gzip.compress(b"a") + gzip.compress(b"b"), "gzip") == b"ab"
    assert expanded(skippable + frame(b"a") + skippable + frame(b"b"), "zstd") == b"ab"
    assert compression.detect((skippable + frame(b"a"))[: compression.HEAD]) == "zstd"


@pytest.mark.parametrize("how", ["gzip", "zstd", "none"])
def test_compression_is_detected_from_the_first_bytes(how: str) -> None:
    assert compression.detect(layouts.compress(layouts.tar_of({"a": "b"}), how)[: compression.HEAD]) == how


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_damage_is_an_image_error_that_names_the_layer(how: str) -> None:
    checked = zstandard.ZstdCompressor(write_checksum=True).compress(CONTENT)
    whole = checked if how == "zstd" else layouts.compress(CONTENT, how)
    hurt = whole[:1000] + bytes(byte ^ 0xFF for byte in whole[1000:1100]) + whole[1100:]
    with pytest.raises(ImageError, match="the layer is damaged"):
        expanded(hurt, how)


def test_a_gzip_stream_that_is_cut_short_is_damage() -> None:
    with pytest.raises(ImageError, match="the layer is damaged"):
        expanded(layouts.compress(CONTENT, "gzip")[:-5], "gzip")


def test_a_zstd_window_over_the_limit_is_refused_before_memory_is_taken() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, compression_level=1)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = frame.compress(b"x" * 100) + frame.flush()
    with pytest.raises(ImageError, match="the layer is damaged"):
        expanded(data, "zstd")


def test_a_bomb_is_stopped_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "LARGEST_CONTENT", 64 << 20)
    unit = gzip.compress(bytes(16 << 20))
    bomb = compression.expand(itertools.repeat(unit), "gzip", "the layer")
    with pytest.raises(ImageError, match="expands to more than"):
        for _ in bomb:
            pass


@given(st.binary(max_size=300), st.sampled_from(["gzip", "zstd"]))
def test_any_bytes_are_content_or_an_image_error(data: bytes, how: str) -> None:
    for body in (data, layouts.compress(data, how)[:-1], layouts.compress(data, how) + data):
        sentence = refusal(partial(expanded, body, how), ImageError)
        assert sentence is None or "the layer" in sentence
