"""Functions that reach outside: files, commands, the environment; and the modes that allow them."""

import base64
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from dynaml import evaluate, fault
from tweed_shim import spiff


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    (tmp_path / "plants").mkdir()
    (tmp_path / "plants" / "rose.yaml").write_text("colour: (( shade ))\nthorns: 5\n")
    (tmp_path / "many.yml").write_text("a: 1\n---\nb: 2\n")
    (tmp_path / "data.json").write_text('{"x": [1, 2]}')
    (tmp_path / "note.txt").write_text("one\ntwo\n")
    (tmp_path / "blob").write_bytes(bytes(range(8)))
    return tmp_path


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('read("%/plants/rose.yaml")', {"colour": "red", "thorns": 5}),
        ('read("%/plants/rose.yaml").thorns', 5),
        ('read("%/plants/rose.yaml", "text")', "colour: (( shade ))\nthorns: 5\n"),
        ('read("%/plants/rose.yaml", "import").thorns', 5),
        ('*read("%/plants/rose.yaml", "template")', {"colour": "red", "thorns": 5}),
        ('read("%/data.json")', {"x": [1, 2]}),
        ('read("%/many.yml", "multiyaml")', [{"a": 1}, {"b": 2}]),
        ('read("%/note.txt")', "one\ntwo\n"),
        ('read("%/blob", "binary")', "AAECAwQFBgc="),
        ('read_uncached("%/note.txt")', "one\ntwo\n"),
        ('lookup_file("note.txt", "%")', ["%/note.txt"]),
        ('lookup_file("nothing", ["%", "%/plants"])', []),
        ('lookup_file("rose.yaml", ["%", "%/plants"])', ["%/plants/rose.yaml"]),
        ('lookup_dir("plants", "%")', ["%/plants"]),
        ('list_files("%")', ["blob", "data.json", "many.yml", "note.txt"]),
        ('list_dirs("%")', ["plants"]),
        ('read(tempfile("hello"))', "hello"),
        ('write("%/out.txt", "text")', "text"),
        ('write("%/out.yaml", {$a = 1})', "---\na: 1\n"),
    ],
)
def test_files(garden: Path, expression: str, expected: Any) -> None:
    def placed(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("%", str(garden))
        return [placed(entry) for entry in value] if isinstance(value, list) else value

    result = evaluate(placed(expression), "shade: red\n", mode="files")
    assert result == placed(expected)


def test_what_is_written_is_on_disk(garden: Path) -> None:
    spiff.merge(
        f'a: (( write("{garden}/w.txt", "text", "0600") ))\n'
        f'b: (( write("{garden}/w.yaml", {{"x" = [1]}}) ))\n'
        f'c: (( write("{garden}/w.bin", "AAEC", "binary") ))\n'
        f'd: (( mkdir("{garden}/new/deep") ))\n',
        mode="files",
    )
    assert (garden / "w.txt").read_text() == "text"
    assert (garden / "w.yaml").read_text() == "---\nx:\n- 1\n"
    assert (garden / "w.bin").read_bytes() == b"\0\1\2"
    assert (garden / "new" / "deep").is_dir()


def test_temporary_files_do_not_outlive_the_merge() -> None:
    name = evaluate('tempfile("hello")', mode="files")
    assert not os.path.exists(name)


@pytest.mark.parametrize(("kind", "mode"), [("tar", "r:"), ("targz", "r:gz")])
def test_archives(kind: str, mode: Any) -> None:
    document = 'files: {"d/a.txt": {data: hi}, "b.yaml": {data: {k: 1}, mode: 0600}, c: {base64: AAE=}}\n'
    text = evaluate(f'archive(files, "{kind}")', document, mode="files")
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text)), mode=mode) as archive:
        content = {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}  # type: ignore[union-attr]  # all of them are files
    assert content == {"d/a.txt": b"hi", "b.yaml": b"---\nk: 1\n", "c": b"\0\1"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('exec("echo", "word")', "word"),
        ('exec("echo", 5)', 5),
        ('exec("printf", "---\\na: 1\\n")', {"a": 1}),
        ('exec(["echo", "a", "b"])', "a b"),
        ('exec_uncached("echo", "x")', "x"),
        ('pipe("abc", "tr", "a", "z")', "zbc"),
        ('pipe(["a", "b"], "tr", "a", "z")', ["z", "b"]),
        ('pipe_uncached("abc", "tr", "b", "x")', "axc"),
        ('exec("cat", "/no/such/file") || "failed"', "failed"),
        ('env("DYNAML_TEST")', "set"),
        ('env("DYNAML_TEST", "DYNAML_NONE")', {"DYNAML_TEST": "set"}),
        ('env(["DYNAML_TEST"])', "set"),
        ('env("DYNAML_NONE") || "unset"', "unset"),
    ],
)
def test_commands_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, expression: str, expected: Any
) -> None:
    monkeypatch.setenv("DYNAML_TEST", "set")
    assert evaluate(expression, mode="system") == expected


@pytest.mark.parametrize(
    ("expression", "mode"),
    [
        *[
            (expression, "private")
            for expression in (
                'read("/etc/hostname")',
                'write("/tmp/never", "x")',
                'tempfile("x")',
                'lookup_file("passwd", "/etc")',
                'lookup_dir("etc", "/")',
                'list_files("/etc")',
                'list_dirs("/")',
                'mkdir("/tmp/never-made")',
                'exec("true")',
                'pipe("x", "cat", "-")',
            )
        ],
        ('exec("true")', "files"),
        ('pipe("x", "cat", "-")', "files"),
    ],
)
def test_a_mode_refuses_what_it_does_not_allow(expression: str, mode: str) -> None:
    assert "no OS operations supported" in fault(expression, mode=mode)


def test_the_private_mode_differs_in_keeping_the_environment_to_itself() -> None:
    fault('env("PATH")')
    fault('env("PATH")', mode="files")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ('read("/no/such/file.yaml")', "/no/such/file.yaml"),
        ("read()", ""),
        ("read(5)", ""),
        ('read("/etc/hostname", "nosuchmode")', "nosuchmode"),
        ('write("/no/such/dir/file", "x")', "/no/such/dir/file"),
        ('list_files("/no/such/dir")', ""),
        ('exec("no-such-command-anywhere")', ""),
        ("exec()", ""),
        ('env("DYNAML_NONE")', "DYNAML_NONE"),
        ('archive({}, "zip")', "zip"),
    ],
)
def test_what_cannot_be_done_outside(expression: str, reason: str) -> None:
    assert reason in fault(expression, mode="system")


def test_files_that_are_written_have_the_mode_that_was_asked(garden: Path) -> None:
    spiff.merge(f'a: (( write("{garden}/w", "x", "0640") ))\n', mode="files")
    assert stat.S_IMODE((garden / "w").stat().st_mode) & 0o777 in (0o640, 0o600)
