"""Files and commands: what is left behind, what is kept, and how often something happens."""

import base64
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from dynaml import evaluate, fault
from tweed_shim import spiff

LONG = "d/" * 80 + "f"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_text("old")
    target.chmod(0o604)
    before = target.stat().st_ino
    assert evaluate(f'write("{target}", "new", "0600")', mode="files") == "new"
    assert (target.read_text(), mode(target)) == ("new", 0o604)
    assert target.stat().st_ino != before
    assert os.listdir(tmp_path) == ["f"]


def test_what_is_no_regular_file_is_written_to(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    evaluate(f'write("{link}", "x")', mode="files")
    assert link.is_symlink()
    assert (tmp_path / "target").read_text() == "x"
    assert evaluate('write("/dev/null", "x")', mode="files") == "x"


@pytest.mark.parametrize(
    ("arguments", "content"),
    [
        ('"text"', b"text"),
        ("5", b"5"),
        ("true", b"true"),
        ("~", b""),
        ("[1]", b"---\n- 1\n"),
        ('{ $a = "b" }', b"---\na: b\n"),
        ('[1, { $a = 2 }], "multiyaml"', b"---\n1\n---\na: 2\n"),
        ('base64("\\u0001\\u00e9"), "binary"', b"\x01\xc3\xa9"),
        ('base64_decode("/wA="), 420', b"\xff\x00"),
        ('"no base64!", "binary, 0600"', b"no base64!"),
    ],
)
def test_content_that_is_written(tmp_path: Path, arguments: str, content: bytes) -> None:
    evaluate(f'write("{tmp_path}/f", {arguments})', mode="files")
    assert (tmp_path / "f").read_bytes() == content


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ('"a,b"', "invalid options"),
        ('"rw"', "permissions must be given as int or int string"),
        ("true", "found bool"),
        ("-1", "between 0 and 07777"),
        ('"multiyaml"', "multi document mode requires a list"),
    ],
)
def test_options_that_do_not_fit_write_nothing(tmp_path: Path, how: str, reason: str) -> None:
    value = "{ $a = 1 }" if "multi" in how else "1"
    assert reason in fault(f'write("{tmp_path}/f", {value}, {how})', mode="files")
    assert os.listdir(tmp_path) == []


def test_directories_have_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    made = evaluate(f'mkdir(["{tmp_path}", "a", "b"], "0700")', mode="files")
    assert made == f"{tmp_path}/a/b"
    assert mode(tmp_path / "a") == mode(tmp_path / "a/b") == 0o700
    assert evaluate(f'mkdir("{made}")', mode="files") == made
    (tmp_path / "f").touch()
    assert "is no directory" in fault(f'mkdir("{tmp_path}/f/g")', mode="files")


def test_a_temporary_file_is_one_for_the_same_content_and_gone_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = spiff.merge(
        'a: (( tempfile("x") ))\nb: (( tempfile("x", "0640") ))\nc: (( tempfile("y") ))\n'
        'd: (( exec("stat", "-c", "%a", b) ))\ne: (( exec("cat", c) ))\n',
        mode="system",
    )
    assert result["a"] == result["b"] != result["c"]
    assert (result["d"], result["e"]) == (640, "y")
    fault('exec("false", tempfile("z"))', mode="system")
    assert os.listdir(tmp_path) == []


def test_a_command_runs_once_unless_it_is_asked_to_run_anew(tmp_path: Path) -> None:
    line = f'"sh", "-c", "echo x >> {tmp_path}/log; wc -l < {tmp_path}/log"'
    result = spiff.merge(f"a: (( exec({line}) ))\nb: (( exec([{line}]) ))\n", mode="system")
    assert result == {"a": 1, "b": 1}
    assert spiff.merge(f"a: (( exec_uncached({line}) + exec_uncached({line}) ))", mode="system")["a"] == 5


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('pipe("b a", "cat", "-")', "b a"),
        ('pipe({ $a = [1] }, "cat", "-")', {"a": [1]}),
        ('pipe("x", ["tr", "x", "y"])', "y"),
        ('exec("printf", "%s", [1])', [1]),
        ('exec("printf", "7\\\\n\\\\n")', 7),
        ('exec("printf", "a: b")', {"a": "b"}),
        ('exec("printf", "%s", "- b")', "- b"),
        ('exec("true")', ""),
    ],
)
def test_what_a_command_prints(expression: str, expected: object) -> None:
    assert evaluate(expression, mode="system") == expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ('exec("false")', "execution 'false' failed"),
        ('exec("/no/such/command")', "execution '/no/such/command' failed"),
        ('exec("a\\u0000b")', "failed"),
        ("exec(~)", "command argument"),
        ('exec("echo", ~)', "invalid command argument"),
        ('exec([], "x")', "list not allowed for command argument"),
        ('read("/no/such/file")', "no such file or directory"),
        ('read("a\\u0000b")', "null byte"),
        ('read("/")', "is a directory"),
        ('read("http://127.0.0.1:1/x")', "error getting"),
        ('read("http:x")', "error getting"),
    ],
)
def test_what_fails_outside_is_told(expression: str, reason: str) -> None:
    assert reason in fault(expression, mode="system")


def members(text: str) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text))) as tar:
        return tar.getmembers()


def test_an_archive_is_the_same_each_time_and_has_what_was_asked() -> None:
    document = spiff.dump(
        {
            "files": {
                "b": {"data": [1], "mode": "0600"},
                "*run.sh": {"data": "x"},
                "#raw": "cg==",
                "é": "text",
                "long": {"path": LONG, "base64": "AAE="},
                "none": None,
            }
        }
    )
    first, second = (evaluate('archive(files, "targz")', document) for _ in range(2))
    assert first == second
    assert [(member.name, oct(member.mode), member.size) for member in members(first)] == [
        ("raw", "0o644", 1),
        ("run.sh", "0o744", 1),
        ("b", "0o600", 8),
        (LONG, "0o644", 2),
        ("é", "0o644", 4),
    ]
    assert max(map(len, first.splitlines())) == 60
    assert members(evaluate("archive(~)")) == []


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ("5", "must be a file map or list, found int"),
        ("[5]", "invalid file content type int"),
        ('[{ $data = "x" }]', "path field required"),
        ("[{ $path = 5 }]", "path field must be string, found int"),
        ('[{ $path = "a", $mode = ~ }]', "mode field must not be nil"),
        ('[{ $path = "a", $base64 = "!" }]', "base64 field"),
        ('[{ $path = "a", $base64 = 5 }]', "base64 field must be string, found int"),
        ('[{ $path = "a" }], "zip"', "invalid archive type 'zip'"),
    ],
)
def test_what_is_no_archive_is_told(files: str, reason: str) -> None:
    assert reason in fault(f"archive({files})")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1\\\\@host/x",
        "http://me:hunter2@h/x",
        "https:x",
        "http://h/%2e%2e/x",
        "http://[::1/x",
    ],
)
def test_an_address_of_two_meanings_is_not_read(url: str) -> None:
    assert "error getting a URL: it" in fault(f'read("{url}")', mode="files")
