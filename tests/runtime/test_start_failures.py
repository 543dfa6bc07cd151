"""Why a container could not be started: the message names the reason and a remedy."""

import os
import subprocess

import pytest

from installed import Shim
from run_requests import program_request
from tweed_shim.cli import commands
from tweed_shim.cli.main import main
from tweed_shim.errors import HostError, ImageError
from tweed_shim.host import resource_limits
from tweed_shim.runtime import host, sandbox, start_failures
from tweed_shim.runtime.sandbox_process import StartError


def explained(stage: str, reason: str) -> tuple[type[Exception], str]:
    here = host.inspect()
    error = start_failures.explain(StartError(stage, reason), program_request("/", ("/bin/x",), here), here)
    return type(error), str(error)


@pytest.mark.parametrize(
    ("stage", "reason", "error", "message"),
    [
        ("image", "the image is wrong", ImageError, "the image is wrong"),
        (
            "start",
            "no such file",
            ImageError,
            "the runtime could not start '/bin/x' of the image: no such file",
        ),
        (
            "keep",
            "No space left on device",
            HostError,
            "the run's sandbox could not be made (keep: No space left on device); free some disk space and run it "
            "again",
        ),
        (
            "bundle",
            "Cannot allocate memory",
            HostError,
            "the run's sandbox could not be made (bundle: Cannot allocate memory); free some memory, or name a "
            "directory on disk with scratch=...",
        ),
        (
            "streams",
            "Operation not permitted",
            HostError,
            "the run's sandbox could not be made (streams: Operation not permitted); run it again with -v, and "
            "report it if it stays",
        ),
    ],
)
def test_a_failure_has_its_reason_and_a_remedy(
    stage: str, reason: str, error: type[Exception], message: str
) -> None:
    assert explained(stage, reason) == (error, message)


def test_a_runtime_without_a_reason_lacks_memory_where_that_is_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource_limits, "has_memory_limit", lambda: True)
    error, message = explained("start", sandbox.NO_REASON)
    assert error is HostError
    assert message.startswith("the runtime gave no reason why it ended, so perhaps ")


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        *(
            (f"ulimit -n {number}", f"no more than {number} files can be open at a time")
            for number in (12, 20, 24)
        ),
        (
            "ulimit -v 200000",
            "no memory is left of the 200000 KiB that are allowed; allow more ('ulimit -v')",
        ),
    ],
)
def test_a_limit_of_the_process_is_named(shim: Shim, demo_image: str, limit: str, said: str) -> None:
    assert shim.run("exec", f"oci:{demo_image}", "metadata").code == 0
    command = [
        "bash",
        "-c",
        f'{limit}; exec "$@"',
        "bash",
        *shim.command("exec", f"oci:{demo_image}", "configure"),
    ]
    about = shim.account
    done = subprocess.run(
        command,
        env=shim.environment(),
        user=about.uid,
        group=about.gid,
        extra_groups=[],
        cwd=os.path.dirname(shim.root),
        input=b"{}",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 125
    [line] = done.stderr.decode().splitlines()
    assert said in line


def test_memory_that_runs_out_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def parse(_: list[str]) -> None:
        raise MemoryError

    monkeypatch.setattr(commands, "parse", parse)
    assert main(["version"]) == 125
    assert (
        capfd.readouterr().err == "tweed-shim: no memory is left on this host; free some, and run it again\n"
    )
