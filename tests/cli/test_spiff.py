"""`tweed-shim spiff`: what it prints, keeps and refuses; the language itself is tested in tests/spiff."""

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from installed import Shim
from tweed_shim.cli.main import main


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Spiff:
    """The command, run within this process in a directory of its own."""

    def __init__(
        self, directory: Path, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
    ) -> None:
        self.directory = directory
        self._capture = capture
        self._patch = patch

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def read(self, name: str) -> str:
        return (self.directory / name).read_text()

    def run(self, *arguments: str, stdin: str = "") -> Done:
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            code = main(["spiff", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *self._capture.readouterr())

    def out(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert (done.code, done.err) == (0, ""), done
        return done.out

    def refused(self, *arguments: str, code: int = 125, stdin: str = "") -> str:
        before = {path.name: path.read_bytes() for path in self.directory.iterdir()}
        done = self.run(*arguments, stdin=stdin)
        assert (done.code, done.out) == (code, ""), done
        assert done.err.startswith("tweed-shim: ")
        assert "Traceback" not in done.err
        assert before == {path.name: path.read_bytes() for path in self.directory.iterdir()}
        return done.err


@pytest.fixture
def spiff(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Spiff]:
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    umask = os.umask(0o077)
    monkeypatch.chdir(tmp_path)
    for name in ("SPIFF_FEATURES", "SPIFF_ENCRYPTION_KEY"):
        monkeypatch.delenv(name, raising=False)
    command = Spiff(tmp_path, capfd, monkeypatch)
    command.write("garden.yaml", TEMPLATE)
    command.write("beds.yaml", "beds: 4\n")
    yield command
    os.umask(umask)
    for number, handler in signals.items():
        signal.signal(number, handler)


TEMPLATE = """
beds: (( merge || 1 ))
plants: (( beds * 10 ))
tools: [spade, {name: rake, teeth: 12}]
hidden: (( &temporary(beds) ))
kept:
  <<: (( &state ))
  first: (( beds ))
escaped: ((! beds ))
"""
STREAM = "a: 1\n---\n<<: (( &temporary ))\nb: 2\n---\n---\nc: (( doc.1::a ))\n"


def test_a_template_is_merged_with_stubs(spiff: Spiff) -> None:
    assert spiff.out("merge", "garden.yaml", "beds.yaml") == (
        "beds: 4\nescaped: (( beds ))\nkept:\n  first: 4\nplants: 40\ntools:\n- spade\n- name: rake\n  teeth: 12\n"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--path", "plants"], "40\n"),
        (["--path", "tools.[0]"], "spade\n"),
        (["--path", "tools.rake.teeth"], "12\n"),
        (["--path", "tools", "--json"], '["spade",{"name":"rake","teeth":12}]\n'),
        (["--path", "tools", "--split"], "---\nspade\n---\nname: rake\nteeth: 12\n"),
        (["--path", "tools", "--split", "--json"], '"spade"\n{"name":"rake","teeth":12}\n'),
        (["--select", "beds"], "beds: 4\n"),
        (["--select", "beds", "--select", "kept.first"], "beds: 4\nfirst: 4\n"),
        (["--evaluate", "plants + beds"], "44\n"),
        (["--evaluate", "{$sum = plants + 1}", "--select", "sum"], "sum: 41\n"),
        (["--evaluate", '"beds: " beds'], "'beds: 4'\n"),
        (["--preserve-temporary", "--select", "hidden"], "hidden: 4\n"),
        (["--preserve-escapes", "--select", "escaped"], "escaped: ((! beds ))\n"),
    ],
)
def test_what_is_printed_can_be_chosen(spiff: Spiff, options: list[str], expected: str) -> None:
    assert spiff.out("merge", "garden.yaml", *options, "beds.yaml") == expected


def test_a_stream_of_documents(spiff: Spiff) -> None:
    spiff.write("stream.yaml", STREAM)
    assert spiff.out("merge", "stream.yaml") == "---\na: 1\n---\n---\nc: 1\n"
    assert spiff.out("merge", "stream.yaml", "--json") == '{"a":1}\n{"c":1}\n'


def test_one_file_may_come_from_stdin(spiff: Spiff) -> None:
    assert spiff.out("merge", "-", stdin="a: (( 1 + 1 ))\n") == "a: 2\n"
    assert spiff.out("merge", "garden.yaml", "-", "--path", "beds", stdin="beds: 9\n") == "9\n"
    assert "stdin can be used only once; give a file instead of one '-'" in spiff.refused(
        "merge", "-", "-", code=2
    )


def test_partial_prints_what_cannot_be_resolved(spiff: Spiff) -> None:
    spiff.write("open.yaml", "a: (( missing ))\nb: (( 1 + 1 ))\n")
    assert spiff.out("merge", "--partial", "open.yaml") == "a: (( missing ))\nb: 2\n"
    assert "\t(( missing ))\tin open.yaml\ta\t()\t*'missing' not found" in spiff.refused("merge", "open.yaml")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-Dwho=kim"], {"w": "kim"}),
        (["-D", "who=5"], {"w": 5}),
        (["-Dwho=-5"], {"w": -5}),
        (["--define", "who=a=b"], {"w": "a=b"}),
        (["-Dwho="], {"w": ""}),
        (["-Dwho.name=kim", "-Dwho.age=7"], {"w": {"name": "kim", "age": 7}}),
        (["-Dwho.a\\.b=1"], {"w": {"a.b": 1}}),
        (["-Dwho.a\\\\.b=1"], {"w": {"a\\": {"b": 1}}}),
        (["--bindings", "bound.yaml"], {"w": {"name": "tom", "legs": [2]}}),
        (["--bindings", "bound.yaml", "-Dwho.name=kim"], {"w": {"name": "kim", "legs": [2]}}),
        (["-Dwho=99999999999999999999"], {"w": "99999999999999999999"}),
    ],
)
def test_bindings_are_given_as_files_and_definitions(spiff: Spiff, options: list[str], expected: Any) -> None:
    spiff.write("bound.yaml", "who: {name: tom, legs: [2]}\n")
    spiff.write("t.yaml", "w: (( who ))\n")
    assert json.loads(spiff.out("merge", "--json", "t.yaml", *options)) == expected


@pytest.mark.parametrize(
    "options",
    [["-Dwho"], ["-D=1"], ["-Dwho..x=1"], ["-Dwho=1", "-Dwho.x=2"], ["--tag", "cfg"], ["--tag", ":f"]],
)
def test_definitions_and_tags_that_cannot_be(spiff: Spiff, options: list[str]) -> None:
    spiff.refused("merge", "garden.yaml", *options, code=2)


def test_tags_are_given_as_files(spiff: Spiff) -> None:
    spiff.write("cfg.yaml", "a: {b: 5}\n")
    spiff.write("t.yaml", "v: (( cfg::a.b ))\n")
    assert spiff.out("merge", "--tag", "cfg:cfg.yaml", "t.yaml") == "v: 5\n"
    assert "9x" in spiff.refused("merge", "--tag", "9x:cfg.yaml", "t.yaml")


def test_features_come_from_options_and_the_environment(
    spiff: Spiff, monkeypatch: pytest.MonkeyPatch
) -> None:
    spiff.write("t.yaml", "v: x (( 1 + 1 ))\n")
    assert spiff.out("merge", "t.yaml") == "v: x (( 1 + 1 ))\n"
    assert spiff.out("merge", "--features", "control, interpolation", "t.yaml") == "v: x 2\n"
    assert spiff.out("merge", "--interpolation", "t.yaml") == "v: x 2\n"
    assert "flying" in spiff.refused("merge", "--features", "flying", "t.yaml")
    monkeypatch.setenv("SPIFF_FEATURES", "interpolation")
    assert spiff.out("merge", "t.yaml") == "v: x 2\n"
    assert spiff.out("merge", "--features", "nointerpolation", "t.yaml") == "v: x (( 1 + 1 ))\n"


class TestState:
    def test_it_is_kept_and_used_the_next_time(self, spiff: Spiff) -> None:
        first = spiff.out("merge", "--state", "state.yaml", "garden.yaml", "beds.yaml")
        assert spiff.read("state.yaml") == "kept:\n  first: 4\n"
        assert "first: 4" in first
        assert "first: 4" in spiff.out("merge", "--state", "state.yaml", "garden.yaml")
        assert spiff.read("state.yaml.bak") == "kept:\n  first: 4\n"

    @pytest.mark.parametrize(("name", "options"), [("s.json", []), ("s", ["--json"])])
    def test_it_may_be_json(self, spiff: Spiff, name: str, options: list[str]) -> None:
        spiff.out("merge", "--state", name, *options, "garden.yaml")
        assert json.loads(spiff.read(name)) == {"kept": {"first": 1}}

    def test_it_is_for_the_owner_only(self, spiff: Spiff) -> None:
        spiff.out("merge", "--state", "state.yaml", "garden.yaml")
        assert (spiff.directory / "state.yaml").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        "options",
        [["--path", "nothing"], ["--evaluate", "missing"], ["--select", "nothing"], ["nofile.yaml"]],
    )
    def test_nothing_is_kept_of_what_fails(self, spiff: Spiff, options: list[str]) -> None:
        spiff.write("state.yaml", "kept: {first: 3}\n")
        spiff.refused("merge", "--state", "state.yaml", "garden.yaml", *options)

    def test_a_stream_has_none(self, spiff: Spiff) -> None:
        spiff.write("stream.yaml", STREAM)
        assert "4 documents" in spiff.refused("merge", "--state", "state.yaml", "stream.yaml", code=2)

    def test_a_place_that_cannot_be_written_is_told(self, spiff: Spiff) -> None:
        assert "no/such" in spiff.refused("merge", "--state", "no/such/state.yaml", "garden.yaml")


def test_files_and_commands_are_allowed_unless_forbidden(spiff: Spiff) -> None:
    spiff.write("t.yaml", 'file: (( read("beds.yaml").beds ))\nword: (( exec("echo", "hi") ))\n')
    assert spiff.out("merge", "t.yaml") == "file: 4\nword: hi\n"
    assert "no OS operations supported" in spiff.refused("merge", "--private", "t.yaml")


def test_a_document_is_processed_with_a_template(spiff: Spiff) -> None:
    spiff.write("t.yaml", "twice: (( document.beds * 2 ))\n")
    assert spiff.out("run", "beds.yaml", "t.yaml") == "twice: 8\n"
    assert spiff.out("process", "beds.yaml", "t.yaml", "--json") == '{"twice":8}\n'
    # What argparse reads, the help among it, knows the other name as well.
    assert spiff.run("process", "--help").out == spiff.run("run", "--help").out != ""
    assert spiff.out("run", "-", "t.yaml", "--json", stdin="beds: 5\n") == '{"twice":10}\n'
    spiff.write("extra.yaml", "twice: none\n")
    assert spiff.out("run", "beds.yaml", "t.yaml", "extra.yaml") == "twice: none\n"


def test_documents_are_compared_by_structure(spiff: Spiff) -> None:
    spiff.write("one.yaml", "a: 1\nlist: [{name: x, v: 1}, {name: w, v: 2}]\nsame: [1, {b: 2}]\n")
    spiff.write("two.yaml", "b: 2\nlist: [{name: w, v: 2}, {name: x, v: 3}]\nsame: [1, {b: 2}]\n")
    assert spiff.out("diff", "one.yaml", "two.yaml", "--separator", "==\n") == (
        "Difference in  a\n  one.yaml has:\n    1\n    \n==\n"
        "Difference in  b\n  two.yaml has:\n    2\n    \n==\n"
        "Difference in  list.x.v\n  one.yaml has:\n    1\n    \n  two.yaml has:\n    3\n    \n==\n"
    )
    assert spiff.out("diff", "one.yaml", "one.yaml") == "no differences!\n"


def test_streams_are_compared_document_by_document(spiff: Spiff) -> None:
    spiff.write("one.yaml", "a: 1\n---\nb: 1\n")
    spiff.write("two.yaml", "a: 1\n---\nb: 2\n")
    assert spiff.out("diff", "one.yaml", "two.yaml").startswith(
        "No difference in document 1\nDifference in document 2 b\n"
    )
    assert spiff.out("diff", "one.yaml", "beds.yaml") == "Different number of documents (2 != 1)\n"


def test_jobs_are_compared_with_their_order(spiff: Spiff) -> None:
    spiff.write("one.yaml", "jobs: [{name: a}, {name: b}]\n")
    spiff.write("two.yaml", "jobs: [{name: b}, {name: a}]\n")
    out = spiff.out("diff", "one.yaml", "two.yaml")
    assert "Difference in  jobs.a.index" in out
    assert "Difference in  jobs.b.index" in out


def test_documents_are_converted_and_not_evaluated(spiff: Spiff) -> None:
    spiff.write("t.yaml", "b: (( 1 + 1 ))\na: [x, {k: 1.50}]\n---\n- 1\n")
    assert spiff.out("convert", "t.yaml") == "---\na:\n- x\n- k: 1.5\nb: (( 1 + 1 ))\n---\n- 1\n"
    assert spiff.out("convert", "--json", "t.yaml") == '{"a":["x",{"k":1.5}],"b":"(( 1 + 1 ))"}\n[1]\n'
    assert (
        spiff.out("convert", "garden.yaml", "--path", "tools", "--split")
        == "---\nspade\n---\nname: rake\nteeth: 12\n"
    )
    assert (
        spiff.out("convert", "garden.yaml", "--select", "tools.rake") == "rake:\n  name: rake\n  teeth: 12\n"
    )


def test_documents_are_encrypted_and_decrypted(spiff: Spiff, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "SPIFF_ENCRYPTION_KEY" in spiff.refused("encrypt", "beds.yaml", code=2)
    monkeypatch.setenv("SPIFF_ENCRYPTION_KEY", "pass")
    secret = spiff.out("encrypt", "beds.yaml")
    assert "beds" not in secret
    assert spiff.out("encrypt", "-d", "-", stdin=secret) == "beds: 4\n\n"
    assert spiff.out("merge", "-", stdin=f'v: (( decrypt("{secret.strip()}") ))\n') == "v:\n  beds: 4\n"
    monkeypatch.setenv("SPIFF_ENCRYPTION_KEY", "other")
    assert "beds" not in spiff.refused("encrypt", "-d", "-", stdin=secret)


def test_a_password_on_the_command_line_is_used_with_a_warning(spiff: Spiff) -> None:
    done = spiff.run("encrypt", "beds.yaml", "pass")
    assert done.code == 0
    assert "others can see the password" in done.err
    assert spiff.run("encrypt", "-", "pass", "3DES", "-d", stdin=done.out).out == "beds: 4\n\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["merge", "nofile.yaml"], "nofile.yaml cannot be read"),
        (["merge", "garden.yaml", "nofile.yaml"], "nofile.yaml cannot be read"),
        (["merge", "."], "."),
        (["merge", "garden.yaml", "--bindings", "nofile.yaml"], "nofile.yaml"),
        (
            ["merge", "garden.yaml", "--bindings", "list.yaml"],
            "list.yaml: the bindings are no map; write names and values into the file",
        ),
        (["merge", "garden.yaml", "stream.yaml"], "stream.yaml"),
        (["merge", "binary"], "binary is not text in UTF-8"),
        (["merge", "broken.yaml"], "broken.yaml"),
        (["merge", "garden.yaml", "--path", "no.such"], "'no.such'"),
        (["merge", "garden.yaml", "--evaluate", "1 +"], "parse error"),
        (["merge", "list.yaml", "--evaluate", "1"], "a map"),
        (
            ["run", "stream.yaml", "garden.yaml"],
            "stream.yaml: it holds 4 documents, but one is needed here; split the file",
        ),
        (["diff", "garden.yaml", "nofile.yaml"], "nofile.yaml"),
        (["convert", "broken.yaml"], "broken.yaml"),
        (["encrypt", "broken.yaml", "pass"], "broken.yaml"),
    ],
)
def test_bad_input_is_one_message(spiff: Spiff, arguments: list[str], named: str) -> None:
    spiff.write("stream.yaml", STREAM)
    spiff.write("list.yaml", "- 1\n")
    spiff.write("broken.yaml", "a: [1\n")
    (spiff.directory / "binary").write_bytes(b"a: \xff\n")
    assert named in spiff.refused(*arguments)


@pytest.mark.parametrize(
    "arguments", [[], ["nosuch"], ["merge"], ["merge", "--nosuch", "x"], ["diff", "x"], ["run", "x"]]
)
def test_a_command_line_that_cannot_be_parsed(spiff: Spiff, arguments: list[str]) -> None:
    assert spiff.run(*arguments).code == 2


def test_the_installed_program(shim: Shim) -> None:
    done = shim.run("spiff", "merge", "-", "--json", stdin=b"b: 1\na: (( b + 1 ))\n")
    assert (done.code, done.out, done.err) == (0, b'{"a":2,"b":1}\n', b"")
    failed = shim.run("spiff", "merge", "-", stdin=b"a: (( b ))\n")
    assert (failed.code, failed.out) == (125, b"")
    assert failed.err == b"tweed-shim: unresolved nodes:\n\t(( b ))\tin -\ta\t()\t*'b' not found\n"
    assert b"merge" in shim.run("spiff", "--help").out
