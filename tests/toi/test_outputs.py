"""The outputs of an executor: which files count, what they are called, and how they are handed out."""

import base64
import os
from pathlib import Path

import pytest
import yaml

from tweed_shim.errors import ContractError, HostError
from tweed_shim.idmap import detect
from tweed_shim.toi import outputs
from tweed_shim.toi.outputs import Outputs


def collect(directory: Path, names: dict[str, str], *, every: bool = False) -> Outputs:
    return outputs.collect(str(directory), detect(), names, every=every, whose="the executor")


def test_mapped_files_get_their_names_and_others_are_kept_where_that_is_wanted(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "result"):
        (tmp_path / name).write_text(name)
    names = {"a": "result", "b": "second", "gone": "third"}
    found = collect(tmp_path, names)
    assert (dict(found.values), found.missing) == ({"result": b"a", "second": b"b"}, ("gone",))
    # What the package calls `result` is not replaced by what the executor calls so.
    assert dict(collect(tmp_path, names, every=True).values) == {"result": b"a", "second": b"b", "c": b"c"}


def test_only_plain_files_count(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    made = tmp_path / "made"
    made.mkdir()
    (made / "link").symlink_to(tmp_path / "secret")
    (made / "directory").mkdir()
    os.mkfifo(made / "pipe")
    names = {name: name for name in ("link", "directory", "pipe")}
    assert collect(made, names, every=True) == Outputs({}, ("link", "directory", "pipe"))


def test_outputs_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "LIMIT", 8)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"1234")
    assert len(collect(tmp_path, {}, every=True).values) == 2
    (tmp_path / "c").write_bytes(b"1")
    with pytest.raises(ContractError, match="the executor wrote outputs of more than"):
        collect(tmp_path, {}, every=True)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"a: [1, yes]\n", {"a": [1, "yes"]}),
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
    with pytest.raises(HostError, match="name a file or a directory that you may write"):
        outputs.write(found, str(tmp_path / "not" / "there"))
