"""Every command ends well at least once in each form of its output.

ROWS is the table. What has to be in it is read from the parsers themselves, so that nobody can add a command, or a form
of its output, whose success is never tried.
"""

import base64
import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from cryptography.hazmat.primitives import serialization

from components import Local, component, image, make_archive, with_image
from installed import PROJECT, SYSTEM_PATH
from layouts import build_layout
from leftovers import work_directory
from pattern_images import PATTERN_METADATA
from servers import RegistryServer
from signing import PRIVATE, signed
from tweed_shim.cli import commands
from tweed_shim.cli.operations import FORMATS
from tweed_shim.cli.parser import ArgparseParser
from tweed_shim.spiff.functions.encryption import encrypted as encrypted_text
from tweed_shim.tweed.contract import OPERATIONS, PATTERN

HOW_TO_ADD = (
    "add a Row to ROWS in tests/cli/test_every_command.py: the command line (what stands in braces is in World.names), "
    "what reads its output, and what it gets on stdin or what has to be run before, if anything"
)

# Options whose choices change what is done, and not how the result is written.
NO_FORMS = {"--pull", "--network", "--env-stream", "--log-format"}

Reader = Callable[[bytes], object]


def nothing(out: bytes) -> None:
    assert out == b""


def as_json(out: bytes) -> Any:
    return json.loads(out)


def json_lines(out: bytes) -> None:
    assert [json.loads(line) for line in out.splitlines()]


def as_yaml(out: bytes) -> None:
    assert list(yaml.safe_load_all(out)) != [None]


def encrypted(out: bytes) -> None:
    assert base64.b64decode(out.strip(), validate=True)


def dotenv(out: bytes) -> None:
    names = [line.partition("=")[0] for line in out.decode().splitlines() if not line.startswith("#")]
    assert set(names) == {"DEMO_USERNAME", "DEMO_TOKEN", "DEMO_CONFIG", "DEMO_USER_FILE"}


def masks(out: bytes) -> None:
    lines = out.decode().splitlines()
    assert lines
    assert all(line.startswith("::add-mask::") for line in lines)


def shell(out: bytes) -> None:
    done = subprocess.run(
        ["sh", "-euc", f'{out.decode()}\nprintf %s "$DEMO_CONFIG"'], capture_output=True, check=True
    )
    assert json.loads(done.stdout) == {"greeting": "hi"}


def fish(out: bytes) -> None:
    done = subprocess.run(
        ["fish", "--no-config", "-c", "source; printf %s $DEMO_CONFIG"],
        input=out,
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"greeting": "hi"}


def table(*headings: str) -> Reader:
    def read(out: bytes) -> None:
        assert out.decode().splitlines()[0].split() == list(headings)

    return read


def holding(text: str) -> Reader:
    def read(out: bytes) -> None:
        assert text in out.decode()

    return read


class Row(NamedTuple):
    """A command line that succeeds.

    line: its words, where `{name}` is one of World.names, and `{out}` a directory of the row's own. read: fails where
    the output is not in its form. stdin: likewise with names. before: command lines, each with its stdin, that have to
    succeed first.
    """

    line: str
    read: Reader
    stdin: str = ""
    before: tuple[tuple[str, str], ...] = ()


CONFIG = "{configuration}"
CLOUDS = (
    "CLOUD",
    "CONFIGURED",
    "FOR",
    "CONFIGURED",
    "INTERACTION",
    "SET",
    "UP",
    "BY",
    "SET",
    "UP",
    "FOR",
    "INSTANCE",
)
IMAGES = table("IMAGE", "PLATFORM", "DIGEST", "SIZE", "PULLED")
BUNDLE = holding("run --bundle")
SET_UP = (("exec {demo} setup --cloud ready --interaction gone", ""),)
PROVISIONED = (("exec {pattern} provision --cloud ready --instance gone", ""),)
BOUND = (("exec {pattern} bind --instance live --binding gone", ""),)
BIND = "exec {pattern} bind --instance live --binding"
CREDENTIALS = "instances credentials live"
VERIFY = "ocm verify {signed} -s sig -k {key}"
TRANSFERRED = table("COMPONENT", "VERSION", "TRANSFERRED")
PASSWORD = "{password}\n"
LOGIN = "login {registry} --insecure -u {user} --password-stdin"
BOOTSTRAP = "toi bootstrap install {toi} platform=local -p {parameters} -c {credentials}"

ROWS = [
    Row("pull {demo}", holding("sha256:")),
    Row("exec {demo} metadata", as_yaml),
    Row("exec {demo} metadata --format yaml", as_yaml),
    Row("exec {demo} metadata --format json", as_json),
    Row("exec {demo} configure --cloud new", holding("The configuration is kept."), CONFIG),
    Row("exec {demo} check --cloud ready", holding("The configuration is there.")),
    Row("exec {demo} check --cloud ready --keep {out}/kept", holding("The configuration is there.")),
    Row("exec {demo} setup --cloud ready --interaction a", as_yaml),
    Row("exec {demo} setup --cloud ready --interaction b --format yaml", as_yaml),
    Row("exec {demo} setup --cloud ready --interaction c --format json", as_json),
    Row("exec {demo} setup --cloud ready --interaction d --format dotenv", dotenv),
    Row("exec {demo} setup --cloud ready --interaction e --format shell", shell),
    Row("exec {demo} setup --cloud ready --interaction f --format fish", fish),
    Row("exec {demo} setup --cloud ready --interaction g --format env-file", dotenv),
    Row("exec {demo} setup --cloud ready --interaction h --format systemd", dotenv),
    Row("exec {demo} setup --cloud ready --interaction i --format github", masks),
    Row("exec {demo} setup --cloud ready --interaction j --format github-output", masks),
    Row("environment --cloud ready", as_yaml),
    Row("environment --cloud ready --format yaml", as_yaml),
    Row("environment --cloud ready --format json", as_json),
    Row("environment --cloud ready --format dotenv", dotenv),
    Row("environment --cloud ready --format shell", shell),
    Row("environment --cloud ready --format fish", fish),
    Row("environment --cloud ready --format env-file", dotenv),
    Row("environment --cloud ready --format systemd", dotenv),
    Row("environment --cloud ready --format github", masks),
    Row("environment --cloud ready --format github-output", masks),
    Row("exec {demo} teardown --cloud ready --interaction gone", holding("demo-"), before=SET_UP),
    Row("exec {pattern} provision --cloud ready --instance new --inputs -", holding("provisioned"), "{{}}"),
    Row(f"{BIND} a", as_yaml),
    Row(f"{BIND} b --format yaml", as_yaml),
    Row(f"{BIND} c --format json", as_json),
    Row(f"{BIND} d --format dotenv", dotenv),
    Row(f"{BIND} e --format shell", shell),
    Row(f"{BIND} f --format fish", fish),
    Row(f"{BIND} g --format env-file", dotenv),
    Row(f"{BIND} h --format systemd", dotenv),
    Row(f"{BIND} i --format github", masks),
    Row(f"{BIND} j --format github-output", masks),
    Row("exec {pattern} unbind --instance live --binding gone", holding("unbound"), before=BOUND),
    Row("exec {pattern} deprovision --instance gone", holding("deprovisioned"), before=PROVISIONED),
    Row("instances", table("INSTANCE", "STATE", "IMAGE", "CLOUD", "SINCE", "BINDINGS")),
    Row("instances --json", as_json),
    Row("instances show live", holding("manifest")),
    Row("instances show live --json", as_json),
    Row("instances files live", table("FILE", "BYTES", "NOTE", "SUMMARY")),
    Row("instances files live --json", as_json),
    Row("instances files live manifest", holding("kind: Pod")),
    Row(CREDENTIALS, as_yaml),
    Row(f"{CREDENTIALS} --json", as_json),
    Row(f"{CREDENTIALS} --format yaml", as_yaml),
    Row(f"{CREDENTIALS} --format json", as_json),
    Row(f"{CREDENTIALS} --format dotenv", dotenv),
    Row(f"{CREDENTIALS} --format shell", shell),
    Row(f"{CREDENTIALS} --format fish", fish),
    Row(f"{CREDENTIALS} --format env-file", dotenv),
    Row(f"{CREDENTIALS} --format systemd", dotenv),
    Row(f"{CREDENTIALS} --format github", masks),
    Row(f"{CREDENTIALS} --format github-output", masks),
    Row("instances forget gone", nothing, before=PROVISIONED),
    *(
        Row(f"spec {{pattern}} {name} --instance live", as_json)
        if OPERATIONS[name].contract == PATTERN
        else Row(f"spec {{demo}} {name} --cloud ready", as_json)
        for name in OPERATIONS
    ),
    *(
        Row(f"bundle {{pattern}} {name} {{out}}/bundle --instance live", BUNDLE)
        if OPERATIONS[name].contract == PATTERN
        else Row(f"bundle {{demo}} {name} {{out}}/bundle --cloud ready", BUNDLE)
        for name in OPERATIONS
    ),
    Row("shell {demo} --tools -- ls /tweed", holding("tools")),
    *(
        Row(f"shell {{pattern}} {name} --instance live --tools -- ls /tweed", holding("tools"))
        if OPERATIONS[name].contract == PATTERN
        else Row(f"shell {{demo}} {name} --tools -- ls /tweed", holding("tools"))
        for name in OPERATIONS
    ),
    Row("images", IMAGES),
    Row("images --json", as_json),
    Row("rm {other}", nothing, before=(("pull {other}", ""),)),
    Row("gc", holding("")),
    Row("gc --json", as_json),
    Row("gc --dry-run", holding("")),
    Row("gc --dry-run --json", as_json),
    Row("fsck", nothing),
    Row("fsck --json", as_json),
    Row("fsck --repair", nothing),
    Row("clouds", table(*CLOUDS)),
    Row("clouds --json", as_json),
    Row("clouds rm doomed", nothing, before=(("exec {demo} configure --cloud doomed", CONFIG),)),
    Row("clouds forget forgotten", nothing, before=(("exec {demo} configure --cloud forgotten", CONFIG),)),
    Row("clouds forget ready gone", nothing, before=SET_UP),
    Row("logs", table("RUN", "STARTED", "IMAGE", "OPERATION", "CLOUD", "INTERACTION", "STATE", "EXIT")),
    Row("logs --json", as_json),
    Row("logs {run}", holding("demo-backend: Made the user")),
    Row("logs {run} --json", as_json),
    Row("logs rm {first}", nothing),
    Row("logs rm --all", nothing),
    Row(LOGIN, nothing, PASSWORD),
    Row("logout {registry}", nothing, before=((LOGIN, PASSWORD),)),
    Row("doctor", holding("runc")),
    Row("doctor --json", as_json),
    Row("help", holding("usage: tweed-shim ")),
    *(Row(f"completion {shell}", holding("__complete")) for shell in ("bash", "zsh", "fish")),
    Row("version", table("PROGRAM", "VERSION")),
    Row("version --json", as_json),
    Row("ocm get {archive}", table("COMPONENT", "VERSION", "PROVIDER")),
    Row("ocm get {archive} --format table", table("COMPONENT", "VERSION", "PROVIDER")),
    Row("ocm get -r {signed} --json", as_json),
    Row("ocm get {archive} --format json", as_json),
    Row("ocm get {signed} --format yaml", as_yaml),
    Row("ocm resources {signed}", table("NAME", "VERSION", "IDENTITY", "TYPE", "RELATION", "ACCESS")),
    Row("ocm resources {signed} --format table", table("NAME", "VERSION", "IDENTITY", "TYPE", "RELATION", "ACCESS")),
    Row("ocm resources -r {signed} --json", as_json),
    Row("ocm resources {signed} --format json", as_json),
    Row("ocm resources {signed} --format yaml", as_yaml),
    Row("ocm download {signed} two -O -", holding("second")),
    Row("ocm download {signed} two -O {out}/two", nothing),
    Row("ocm download {signed} image --oci-layout -O {out}/layout", nothing),
    Row("ocm transfer -r {signed} {out}/new", TRANSFERRED),
    Row("ocm transfer {archive} {out}/new --json", as_json),
    Row("ocm transfer {archive} {out}/new --type directory", TRANSFERRED),
    Row("ocm transfer {archive} {out}/new.tar --type tar", TRANSFERRED),
    Row("ocm transfer {archive} {out}/new.tgz --type tgz", TRANSFERRED),
    Row(VERIFY, table("STATE", "KIND", "NAME", "VERSION", "COMPONENT", "WHY")),
    Row(f"{VERIFY} --json", as_json),
    Row("spiff merge {template} {stub}", as_yaml),
    Row("spiff merge {template} {stub} --json", json_lines),
    Row("spiff run {stub} {runnable}", as_yaml),
    Row("spiff run {stub} {runnable} --json", json_lines),
    Row("spiff process {stub} {runnable}", as_yaml),
    Row("spiff process {stub} {runnable} --json", json_lines),
    Row("spiff diff {template} {stub}", holding("Difference in  ")),
    Row("spiff diff {stub} {stub}", holding("no differences!")),
    Row("spiff convert {stub}", as_yaml),
    Row("spiff convert {stub} --json", json_lines),
    Row("spiff encrypt {stub} secret", encrypted),
    Row("spiff encrypt {stub} secret 3DES", encrypted),
    Row("spiff encrypt -d {secret} password", as_yaml),
    Row(BOOTSTRAP, as_yaml),
    Row(f"{BOOTSTRAP} -o {{out}}/outputs", holding("Installing")),
    Row(f"{BOOTSTRAP} --dry-run", as_yaml),
    Row(BOOTSTRAP.replace("{parameters}", "-"), as_yaml, "{host}"),
    Row(f"{BOOTSTRAP} --create-env {{out}}/env", nothing),
    Row("toi config {toi} platform=local -p {out}/p -c {out}/c", holding("/p\n")),
    Row("toi describe {toi} platform=local", holding("install")),
    Row("toi describe {toi} platform=local --json", as_json),
]  # fmt: skip


class World(NamedTuple):
    """A store in which a cloud is configured, and all that the rows name."""

    root: str
    names: dict[str, str]

    def run(self, line: str, stdin: str, out: str) -> subprocess.CompletedProcess[bytes]:
        words = [word.format(**self.names, out=out) for word in shlex.split(line)]
        environ = {
            "PATH": SYSTEM_PATH,
            "HOME": self.names["home"],
            "LANG": "C.UTF-8",
            "OCM_CONFIG": "None",
            "GITHUB_ENV": self.names["step"],
            "GITHUB_OUTPUT": self.names["step"],
        }
        return subprocess.run(
            [sys.executable, "-m", "tweed_shim", "--root", self.root, *words],
            input=stdin.format(**self.names).encode(),
            capture_output=True,
            env=environ | {"PYTHONPATH": os.path.join(PROJECT, "shim")},
            cwd=out,
            check=False,
        )

    def succeed(self, line: str, stdin: str, out: str) -> bytes:
        done = self.run(line, stdin, out)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()
        return done.stdout


# Its credentials have the names and the kinds of values that the demo's environment has.
PATTERN_SCRIPT = f"""case $1 in
    metadata) {PATTERN_METADATA} ;;
    provision) echo kind: Pod > $OUTPUTS/manifest; echo provisioned ;;
    bind) env | sed -n "s/\\(DEMO_[A-Z_]*\\)=\\(.*\\)/\\1: '\\2'/p" ;;
    unbind) echo unbound ;;
    deprovision) echo deprovisioned ;;
esac
"""


def _layout(path: Path, script: str = "") -> str:
    build_layout(str(path), files={"entrypoint": f"#!/bin/sh\n{script}"}, compression="none")
    return str(path)


def _files(directory: Path) -> dict[str, str]:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    texts = {
        "key": PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, form).decode(),
        "template": "greeting: (( merge ))\nlist:\n- 1\n",
        "stub": "greeting: hello\nnumber: 5\n",
        "secret": encrypted_text("number: 5\n", "password"),
        "step": "",
        "runnable": "found: (( document.greeting ))\n",
        "parameters": '{"host": "example.org", "port": 80}',
        "credentials": '{"credentials": {"target": {"credentials": {"username": "me", "password": "x"}}, '
        '"license": {"credentials": {"key": "any"}}}}',
    }
    for name, text in texts.items():
        (directory / name).write_text(text)
    return {name: str(directory / name) for name in texts}


@pytest.fixture(scope="module")
def world(demo_image: str, toi_demo: str, registry_with_password: RegistryServer) -> Iterator[World]:
    with work_directory() as path:
        directory = Path(path)
        library = component("example.com/lib", "2.0.0", [Local("one", b"first")])
        plain = component("example.com/app", "1.0.0", [Local("two", b"second")], ["example.com/lib:2.0.0"])
        top = with_image(plain, *image("image", demo_image))
        archive = make_archive(directory / "archive", library, signed(top, library))
        home = directory / "home"
        home.mkdir()
        names = {
            "home": str(home),
            "configuration": '{"greeting": "hi"}',
            "host": '{"host": "example.org"}',
            "demo": f"oci:{demo_image}",
            "other": f"oci:{_layout(directory / 'other')}",
            "pattern": f"oci:{_layout(directory / 'pattern', PATTERN_SCRIPT)}",
            "toi": toi_demo,
            "archive": archive,
            "signed": f"{archive}//example.com/app:1.0.0",
            "registry": registry_with_password.host,
            "user": registry_with_password.user,
            "password": registry_with_password.password,
            **_files(directory),
        }
        made = World(str(directory / "store"), names)
        made.succeed("exec {demo} configure --cloud ready", CONFIG, str(home))
        made.succeed("exec {pattern} provision --cloud ready --instance live", "", str(home))
        made.succeed("exec {pattern} bind --instance live", "", str(home))
        # `spec` shows the default interaction, and the newest run is that of its setup.
        made.succeed("exec {demo} setup --cloud ready", "", str(home))
        runs = json.loads(made.succeed("logs --json", "", str(home)))
        names["run"], names["first"] = str(runs[0]["run"]), str(runs[-1]["run"])
        yield made


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.line)
def test_a_command_succeeds_in_each_form_of_its_output(row: Row, world: World, tmp_path: Path) -> None:
    for line, stdin in row.before:
        world.succeed(line, stdin, str(tmp_path))
    row.read(world.succeed(row.line, row.stdin, str(tmp_path)))


def _parser(words: list[str]) -> ArgparseParser:
    """The parser of a command's own options."""
    made: list[ArgparseParser] = []

    class Recorded(ArgparseParser):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as ended:
        commands.parse_with(Recorded, [*words, "--help"])
    assert ended.value.code == 0
    assert shown.getvalue().startswith("usage: tweed-shim ")
    return made[-1]


def _forms(parser: ArgparseParser) -> Iterator[tuple[str, ...]]:
    """The ways in which a command writes its result, as words of a command line; none of them is also a way."""
    if not any(action.choices and action.required for action in parser._actions):
        yield ()
    for action in parser._actions:
        long = next((name for name in action.option_strings if name.startswith("--")), None)
        if long == "--json":
            yield ("--json",)
        elif action.choices is not None and long not in NO_FORMS:
            for choice in action.choices:
                yield (long, choice) if long else (choice,)
    # A usage of several lines: `tweed-shim logs [RUN] | tweed-shim logs rm RUN... | tweed-shim logs rm --all`.
    for usage in (parser.usage or "").split(" | ")[1:]:
        words = usage.removeprefix(parser.prog).split()
        yield tuple(takewhile(lambda word: word == word.lower() and word[0] != "[", words))


def _wanted() -> Iterator[tuple[tuple[str, ...], set[tuple[str, ...]]]]:
    """Each command, `exec` and `spec` with each of their operations, and its forms."""
    for name, command in commands.COMMANDS.items():
        named: list[tuple[str, ...]] = [(name, part) for part in (*command.subcommands, *command.aliases)]
        for words in named or [(name,)]:
            forms = set(_forms(_parser(list(words))))
            # The operations of `exec` and `spec` are words, of which each is looked at below.
            if name in ("exec", "spec"):
                forms = {(), *forms} - {(operation,) for operation in OPERATIONS}
            if name not in ("exec", "spec"):
                yield words, forms
                continue
            for operation in OPERATIONS:
                fitting = FORMATS.get(operation, ()) if name == "exec" else ()
                yield (*words, operation), {form for form in forms if not form or form[1] in fitting}


def _is_of(row: Row, words: tuple[str, ...]) -> bool:
    given = row.line.split()
    # The image stands between `exec` and the operation.
    own = (given[0], given[2]) if given[0] in ("exec", "spec") else tuple(given[: len(words)])
    return own == words


def _has(row: Row, form: tuple[str, ...]) -> bool:
    given = row.line.split()
    return any(tuple(given[start : start + len(form)]) == form for start in range(1, len(given)))


def test_every_command_and_every_form_of_its_output_is_in_the_table() -> None:
    missing: list[str] = []
    for words, forms in _wanted():
        others = forms - {()}
        rows = [row for row in ROWS if _is_of(row, words)]
        given = {form for row in rows for form in others if _has(row, form)}
        if any(not any(_has(row, form) for form in others) for row in rows):
            given.add(())
        missing += [" ".join(("tweed-shim", *words, *form)) for form in sorted(forms - given)]
    assert not missing, f"no success of {', '.join(missing)} is tried: {HOW_TO_ADD}"


def test_an_output_form_without_a_row_is_reported() -> None:
    parser = ArgparseParser(prog="x")
    parser.add_argument("--format", "-f", choices=("a", "b"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--network", choices=("none", "host"))
    parser.add_argument("action", nargs="?", choices=("rm",))
    parser.usage = "x [--json] | x forget --all | x show NAME"
    forms = {("--format", "a"), ("--format", "b"), ("--json",), ("rm",), ("forget", "--all"), ("show",)}
    assert set(_forms(parser)) == {(), *forms}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_are_printed(option: str, world: World, tmp_path: Path) -> None:
    assert b"tweed-shim" in world.succeed(option, "", str(tmp_path))
