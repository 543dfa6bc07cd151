"""The outputs of an executor: which files count, what they are called, and how they are handed out."""

import base64
import os
import resource
import shutil
from pathlib import Path

import pytest
import yaml

from tweed_shim.errors import HostError
from tweed_shim.runtime import volumes
from tweed_shim.toi import outputs
from tweed_shim.toi.outputs import Outputs


def collect(
    directory: Path, names: dict[str, str], *, every: bool = False, limit: int = outputs.LIMIT
) -> Outputs:
    """What a run keeps of a directory, and what becomes of that."""
    kept = directory.parent / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    volumes.keep(str(directory), directory=str(kept), names=list(names), every=every, limit=limit)
    return outputs.collect(str(kept), names)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "made"
    path.mkdir()
    return path


def test_mapped_files_get_their_names_and_others_are_kept_where_that_is_wanted(made: Path) -> None:
    for name in ("a", "b", "c", "result"):
        (made / name).write_text(name)
    names = {"a": "result", "b": "second", "gone": "third"}
    found = collect(made, names)
    assert (dict(found.values), found.missing) == ({"result": b"a", "second": b"b"}, ("gone",))
    # What the package calls `result` is not replaced by what the executor calls so.
    assert dict(collect(made, names, every=True).values) == {"result": b"a", "second": b"b", "c": b"c"}


def test_only_plain_files_count(made: Path) -> None:
    secret = made.parent / "secret"
    secret.write_text("of the host")
    (made / "link").symlink_to(secret)
    (made / "directory").mkdir()
    os.mkfifo(made / "pipe")
    names = {name: name for name in ("link", "directory", "pipe")}
    left_out = ("link (a symbolic link)", "directory (a directory)", "pipe (a named pipe)")
    assert collect(made, names, every=True) == Outputs({}, left_out=left_out)


def test_what_is_too_large_is_told_and_the_rest_is_kept(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "LIMIT", 8)
    for name in ("a", "b"):
        (made / name).write_bytes(b"1234")
    found = collect(made, {}, every=True, limit=8)
    assert (len(found.values), found.lost) == (2, ())
    (made / "a1").write_bytes(b"1")
    with open(made / "hole", "wb") as file:
        file.truncate(1 << 40)
    found = collect(made, {"hole": "large"}, every=True, limit=8)
    assert found.lost[0] == "large is not kept (outputs have 0 MiB together at most)"
    assert (list(found.values), found.missing) == (["a", "a1"], ())
    assert [each.partition(" is not kept")[0] for each in found.lost] == ["large", "b"]


def test_what_the_disk_does_not_take_is_told_and_the_rest_is_kept(made: Path) -> None:
    for name, size in (("a", 3), ("b", 9), ("c", 3)):
        (made / name).write_bytes(b"1" * size)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, before[1]))
    try:
        found = collect(made, {"b": "large"}, every=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (list(found.values), found.missing) == (["a", "c"], ())
    assert found.lost == ("large is not kept (File too large)",)


def test_a_name_that_no_document_can_hold_is_told_and_the_rest_is_kept(made: Path) -> None:
    (made / "a").write_text("1")
    (made / os.fsdecode(b"b\xff")).write_text("2")
    found = collect(made, {}, every=True)
    assert dict(found.values) == {"a": b"1"}
    assert found.lost == ("the file b'b\\xff' is not kept (its name is not UTF-8)",)
    assert collect(made, {"a": "a"}).lost == ()


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"a: [1, yes]\n", {"a": [1, True]}),
        (b"0x10", 16),
        (b"[0o17, 017, 0b11, 1_000, .inf, 2020-01-01, ~]", [15, 15, 3, 1000, ".inf", "2020-01-01", None]),
        (b'{"a": 1.5}', {"a": 1.5}),
        (b"plain words\n", "plain words"),
        (b"", None),
        (b"a: 1\n---\nb: 2\n", {"binary": base64.b64encode(b"a: 1\n---\nb: 2\n").decode()}),
        (b"{not: [closed", {"binary": base64.b64encode(b"{not: [closed").decode()}),
        (b"\xff\xfe\x00", {"binary": "//4A"}),
    ],
)
def test_the_document_holds_values_or_bytes(data: bytes, value: object) -> None:
    assert yaml.safe_load(outputs.document(Outputs({"it": data}))) == {"outputs": {"it": value}}


def test_outputs_are_written_to_a_file_or_into_a_directory(tmp_path: Path) -> None:
    found = Outputs({"a": b"1", "b": b"\xff"})
    outputs.write(found, str(tmp_path / "file"))
    assert yaml.safe_load((tmp_path / "file").read_text())["outputs"]["a"] == 1
    outputs.write(found, str(tmp_path))
    assert [(tmp_path / name).read_bytes() for name in ("a", "b")] == [b"1", b"\xff"]


def test_a_name_as_long_as_a_name_can_be_is_written(tmp_path: Path) -> None:
    outputs.write(Outputs({"é" * 127: b"1"}), str(tmp_path))
    assert (tmp_path / ("é" * 127)).read_bytes() == b"1"


def test_a_file_that_a_link_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    outputs.write(Outputs({"a": b"1"}), str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert yaml.safe_load((tmp_path / "file").read_text()) == {"outputs": {"a": 1}}


def test_one_that_cannot_be_written_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(outputs.Unwritten, match="name a file or a directory that you may write") as unwritten:
        outputs.write(Outputs({"a": b"1", "b": b"2"}), str(tmp_path))
    assert dict(unwritten.value.outputs.values) == {"a": b"1"}
    assert (tmp_path / "b").read_bytes() == b"2"


def test_a_place_that_cannot_be_written_is_told_before(tmp_path: Path) -> None:
    for good in (tmp_path, tmp_path / "file", Path("/dev/null")):
        outputs.check_place(str(good))
    with pytest.raises(HostError, match="not is no directory"):
        outputs.check_place(str(tmp_path / "not" / "there"))
    for nothing in ("", f"{tmp_path}/new/"):
        with pytest.raises(HostError, match="there is no such directory"):
            outputs.check_place(nothing)
