"""The outputs of an executor: which files are kept, their names, and how they are written for the user."""

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
    """Keep the files of a directory as a run does, and collect them."""
    kept = directory.parent / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    volumes.copy_out(str(directory), directory=str(kept), names=list(names), every=every, limit=limit)
    return outputs.collect(str(kept), names)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "written"
    path.mkdir()
    return path


def test_mapped_files_are_renamed_and_other_files_are_kept_on_request(written: Path) -> None:
    for name in ("a", "b", "c", "result"):
        (written / name).write_text(name)
    names = {"a": "result", "b": "second", "gone": "third"}
    collected = collect(written, names)
    assert (dict(collected.values), collected.missing) == ({"result": b"a", "second": b"b"}, ("gone",))
    # The output that the package names `result` is not replaced by the executor's file of that name.
    assert dict(collect(written, names, every=True).values) == {"result": b"a", "second": b"b", "c": b"c"}


def test_only_plain_files_become_outputs(written: Path) -> None:
    secret = written.parent / "secret"
    secret.write_text("of the host")
    (written / "link").symlink_to(secret)
    (written / "directory").mkdir()
    os.mkfifo(written / "pipe")
    names = {name: name for name in ("link", "directory", "pipe")}
    left_out = ("link (a symbolic link)", "directory (a directory)", "pipe (a named pipe)")
    assert collect(written, names, every=True) == Outputs({}, left_out=left_out)


def test_outputs_over_the_limit_are_reported_and_the_others_are_kept(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "LIMIT", 8)
    for name in ("a", "b"):
        (written / name).write_bytes(b"1234")
    collected = collect(written, {}, every=True, limit=8)
    assert (len(collected.values), collected.lost) == (2, ())
    (written / "a1").write_bytes(b"1")
    with open(written / "hole", "wb") as file:
        file.truncate(1 << 40)
    collected = collect(written, {"hole": "large"}, every=True, limit=8)
    assert collected.lost[0] == "large is not kept (outputs have 0 MiB together at most)"
    assert (list(collected.values), collected.missing) == (["a", "a1"], ())
    assert [each.partition(" is not kept")[0] for each in collected.lost] == ["large", "b"]


def test_outputs_that_cannot_be_written_to_disk_are_reported_and_the_others_are_kept(written: Path) -> None:
    for name, size in (("a", 3), ("b", 9), ("c", 3)):
        (written / name).write_bytes(b"1" * size)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, before[1]))
    try:
        collected = collect(written, {"b": "large"}, every=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (list(collected.values), collected.missing) == (["a", "c"], ())
    assert collected.lost == ("large is not kept (File too large)",)


def test_outputs_with_a_name_that_is_not_utf8_are_reported_and_the_others_are_kept(written: Path) -> None:
    (written / "a").write_text("1")
    (written / os.fsdecode(b"b\xff")).write_text("2")
    collected = collect(written, {}, every=True)
    assert dict(collected.values) == {"a": b"1"}
    assert collected.lost == ("the file b'b\\xff' is not kept (its name is not UTF-8)",)
    assert collect(written, {"a": "a"}).lost == ()


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
def test_an_output_becomes_a_yaml_value_or_base64(data: bytes, value: object) -> None:
    assert yaml.safe_load(outputs.as_yaml(Outputs({"it": data}))) == {"outputs": {"it": value}}


def test_outputs_are_written_to_a_file_or_into_a_directory(tmp_path: Path) -> None:
    collected = Outputs({"a": b"1", "b": b"\xff"})
    outputs.write(collected, str(tmp_path / "file"))
    assert yaml.safe_load((tmp_path / "file").read_text())["outputs"]["a"] == 1
    outputs.write(collected, str(tmp_path))
    assert [(tmp_path / name).read_bytes() for name in ("a", "b")] == [b"1", b"\xff"]


def test_an_output_with_a_name_of_the_greatest_length_is_written(tmp_path: Path) -> None:
    outputs.write(Outputs({"é" * 127: b"1"}), str(tmp_path))
    assert (tmp_path / ("é" * 127)).read_bytes() == b"1"


def test_outputs_are_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    outputs.write(Outputs({"a": b"1"}), str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert yaml.safe_load((tmp_path / "file").read_text()) == {"outputs": {"a": 1}}


def test_an_unwritable_output_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(
        outputs.OutputsUnwritten, match="name a file or a directory that you may write"
    ) as unwritten:
        outputs.write(Outputs({"a": b"1", "b": b"2"}), str(tmp_path))
    assert dict(unwritten.value.outputs.values) == {"a": b"1"}
    assert (tmp_path / "b").read_bytes() == b"2"


def test_an_unwritable_target_is_refused_before_the_run(tmp_path: Path) -> None:
    for good in (tmp_path, tmp_path / "file", Path("/dev/null")):
        outputs.check_target(str(good))
    with pytest.raises(HostError, match="not is no directory"):
        outputs.check_target(str(tmp_path / "not" / "there"))
    for nothing in ("", f"{tmp_path}/new/"):
        with pytest.raises(HostError, match="there is no such directory"):
            outputs.check_target(nothing)
