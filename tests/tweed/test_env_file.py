"""The format env-file: docker and podman read back what was printed, and what they cannot read is refused."""

import http.server
import json
import os
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accounts import AS_ONE_USER
from installed import Shim, refusal
from script_images import METADATA, ScriptImage
from tweed_shim.errors import RefusedFormat
from tweed_shim.tweed import environment

BUFFER = 64 << 10
Reader = Callable[[bytes], dict[str, str]]

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
one_line = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=40) | st.text(
    "'\"\\$`#*= \t!{}\x0b\x0c\x85\u2028\ufeff", max_size=12
)


def lines_of_go(data: bytes) -> Iterator[str]:
    """The lines that Go's bufio.Scanner returns with its split function ScanLines."""
    for line in data.removesuffix(b"\n").split(b"\n") if data else ():
        assert len(line) < BUFFER, "bufio.Scanner: token too long"
        yield line.removesuffix(b"\r").decode()


def docker_env_file(data: bytes) -> dict[str, str]:
    """pkg/kvfile/kvfile.go of docker/cli: blanks before a name are dropped, `#` begins a comment, a value is raw."""
    found = {}
    for number, line in enumerate(lines_of_go(data)):
        stripped = (line if number else line.removeprefix("\ufeff")).lstrip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        assert name
        assert not set(name) & set(" \t")
        # A name alone takes its value from the environment of docker.
        assert equals
        found[name] = value
    return found


def podman_env_file(data: bytes) -> dict[str, str]:
    """pkg/env/env.go of podman: as docker, but that a name that ends in `*` stands for many."""
    found = {}
    for line in lines_of_go(data):
        stripped = line.lstrip(" \t")
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        assert name
        assert equals
        found[name] = value
    return found


class DaemonOfDocker(http.server.BaseHTTPRequestHandler):
    """As much of docker's daemon as `docker create` asks for; it keeps the bodies of the requests."""

    protocol_version = "HTTP/1.1"
    bodies: list[Any]

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Api-Version", "1.43")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.answer(200, b"")

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer(201, b'{"Id": "1", "Warnings": []}')


@contextmanager
def daemon_of_docker(path: Path) -> Iterator[list[Any]]:
    class Handler(DaemonOfDocker):
        bodies: list[Any] = []  # noqa: RUF012 - one list for each daemon

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Handler.bodies
        finally:
            server.shutdown()
            thread.join()


def variables(pairs: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def real_docker(directory: Path) -> Reader:
    def read(data: bytes) -> dict[str, str]:
        (directory / "env").write_bytes(data)
        with daemon_of_docker(directory / "docker.sock") as bodies:
            subprocess.run(
                ["docker", "create", "--env-file", directory / "env", "image"],
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(directory),
                    "DOCKER_HOST": f"unix://{directory}/docker.sock",
                },
                capture_output=True,
                check=True,
            )
        [body] = bodies
        return variables(body["Env"])

    return read


def real_podman(directory: Path) -> Reader:
    def read(data: bytes) -> dict[str, str]:
        (directory / "env").write_bytes(data)
        (directory / "rootfs").mkdir()
        # podman refuses a --runroot of more than 50 characters.
        with tempfile.TemporaryDirectory(prefix="podman-") as state:
            podman = [
                "podman",
                *(f"--{name}={state}/{name}" for name in ("root", "runroot", "tmpdir")),
                "--storage-driver=vfs",
                "--cgroup-manager=cgroupfs",
            ]

            def run(*arguments: str) -> str:
                done = subprocess.run([*podman, *arguments], capture_output=True, check=True)
                return done.stdout.decode().strip()

            create = ("create", "--network=none", f"--env-file={directory}/env", "--rootfs")
            container = run(*create, f"{directory}/rootfs", "/true")
            found = variables(json.loads(run("inspect", container, "--format={{json .Config.Env}}")))
            run("rm", container)
        # These podman sets itself.
        return {name: value for name, value in found.items() if name not in ("PATH", "TERM", "container")}

    return read


def installed(program: str) -> bool:
    """Whether a program is there under its own name: Debian's podman-docker calls podman `docker`."""
    if not shutil.which(program):
        return False
    version = subprocess.run([program, "--version"], capture_output=True, check=False).stdout
    return version.lower().startswith(program.encode())


READERS: dict[str, Callable[[Path], Reader]] = {
    "the grammar of docker": lambda _: docker_env_file,
    "the grammar of podman": lambda _: podman_env_file,
    # The programs themselves are compared with their grammars where they are installed.
    **{
        name: reader for name, reader in (("docker", real_docker), ("podman", real_podman)) if installed(name)
    },
}


def render(values: dict[str, str]) -> bytes:
    return environment.render(values, "env-file", allow=values).encode()


@given(st.dictionaries(names, one_line, max_size=6))
@example({"A": ""})
@example({"A": "\ufeff# x=* "})
def test_both_grammars_read_back_what_is_printed(values: dict[str, str]) -> None:
    text = render(values)
    assert docker_env_file(text) == values
    assert podman_env_file(text) == values


@given(st.dictionaries(names, one_line | st.text("a\r\n", max_size=4), max_size=4))
def test_a_value_is_refused_where_it_has_a_line_break(values: dict[str, str]) -> None:
    broken = [name for name, value in values.items() if {"\r", "\n"} & set(value)]
    if not broken:
        assert docker_env_file(render(values)) == values
        return
    with pytest.raises(RefusedFormat) as caught:
        render(values)
    assert all(f"{name} (has a line break)" in str(caught.value) for name in broken)


@pytest.mark.parametrize("reader", READERS)
def test_every_program_takes_values_as_they_stand(reader: str, tmp_path: Path) -> None:
    values = {
        "_BLANKS": "  both ends \t",
        "QUOTED": '"it\'s"',
        "COMMENT": "x # no comment",
        "EMPTY": "",
        "DOLLAR": "$HOME ${HOME} $(id) `id` \\n",
        "EQUALS": "=a=b=",
        "LETTERS": "é\u2028\ufeff\x85\x0b*",
        "LAST": "*",
    }
    assert READERS[reader](tmp_path)(render(values)) == values


@pytest.mark.parametrize("reader", READERS)
def test_the_longest_line_that_is_printed_is_read(reader: str, tmp_path: Path) -> None:
    longest = {"A": "1", "LONG": "é" * ((BUFFER - len("LONG=\n")) // 2), "B": "2"}
    text = render(longest)
    assert max(map(len, text.split(b"\n"))) in (BUFFER - 1, BUFFER - 2)
    assert READERS[reader](tmp_path)(text) == longest


def test_a_line_that_no_program_reads_is_refused() -> None:
    render({"LONG": "x" * (BUFFER - len("LONG=\n"))})
    with pytest.raises(RefusedFormat) as caught:
        render({"SHORT": "x", "LONG": "x" * (BUFFER - len("LONG="))})
    assert str(caught.value) == (
        "the environment that the image printed sets LONG (is too long), and the format env-file holds only values of "
        "one line of less than 64 KiB: use the format yaml or json"
    )


def test_a_message_names_a_few_of_many_and_no_value() -> None:
    with pytest.raises(RefusedFormat) as caught:
        render({f"KEY_{number}": "hunter2\n" for number in range(1000)})
    message = str(caught.value)
    assert "KEY_4 (has a line break) and 995 more, and the format" in message
    assert "hunter2" not in message
    assert len(message) < 400


@AS_ONE_USER
def test_a_setup_whose_environment_no_env_file_holds_says_how_to_see_it(
    shim: Shim, script_image: ScriptImage
) -> None:
    image = script_image(
        f"case $1 in metadata) {METADATA} ;; setup) printf 'A: x\\nKEY: \"hunter2\\\\n\"\\n' ;; esac"
    )
    assert shim.run("exec", image, "configure", stdin=b"{}").code == 0
    message = refusal(shim.run("exec", image, "setup", "--format", "env-file"))
    fault = (
        "the environment that the image printed sets KEY (has a line break), and the format env-file holds only values "
        "of one line of less than 64 KiB: use --format yaml or json"
    )
    assert f"{fault}; interaction 'default' is set up all the same: " in message
    assert "hunter2" not in message
    command = message.partition("'tweed-shim ")[2].partition("'")[0].split()
    assert shim.run(*command, "--format", "json").code == 0
    assert refusal(shim.run(*command, "--format", "env-file")).endswith(fault)
    assert shim.run(*message.rpartition(": tweed-shim ")[2].split()).code == 0
    assert shim.run("exec", image, "setup", "--format", "json").code == 0
