"""Arguments and variables that are longer than the kernel takes are refused before a run; the others are taken."""

import os
import resource
import subprocess

import pytest

from installed import Shim
from layouts import build_layout
from tweed_shim.errors import ImageError
from tweed_shim.runtime import exec_limits

LONGEST = 32 * os.sysconf("SC_PAGE_SIZE") - 1
IN_ALL = 2 << 20


def refusal(args: list[str], env: list[str]) -> str:
    try:
        exec_limits.check(args, env, "the image")
    except ImageError as error:
        return str(error)
    return ""


def kernel_takes(args: list[str], env: list[str]) -> bool:
    """Whether the kernel starts a program with these."""
    variables = dict(each.split("=", 1) for each in env)
    try:
        subprocess.run(["/bin/true", *args], env=variables, check=True)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("kind", ["argument", "variable"])
@pytest.mark.parametrize("size", [LONGEST - 1, LONGEST, LONGEST + 1])
def test_the_longest_text_is_the_kernels(kind: str, size: int) -> None:
    args, env = (["x" * size], []) if kind == "argument" else ([], ["LONG=".ljust(size, "x")])
    said = refusal(args, env)
    assert (said == "") is kernel_takes(args, env)
    if said:
        assert f"the image cannot be started: its {kind} '{'x' if kind == 'argument' else 'LONG'}" in said
        assert f" has {size} bytes" in said
        assert len(said) < 300


def test_a_text_is_measured_in_bytes() -> None:
    assert f"has {LONGEST + 1} bytes" in refusal(["ä" * ((LONGEST + 1) // 2)], [])


@pytest.mark.parametrize("size", [100 << 10, IN_ALL - (64 << 10), IN_ALL + 1, 8 << 20])
def test_all_texts_together_are_measured(size: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (4 * IN_ALL, hard))
    try:
        args = ["x" * 1015] * (size // 1024)
        said = refusal(args, [])
        assert (said == "") is kernel_takes(args, [])
        assert (said == "") is (size < IN_ALL)
        assert said == "" or "arguments and variables have" in said
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))


TOO_LONG = {
    "argument": ({"entrypoint": ("/entrypoint", "y" * (LONGEST + 1))}, "its argument 'yyy"),
    "variable": ({"env": ["LONG=" + "y" * LONGEST]}, "its variable 'LONG'"),
    "all": ({"entrypoint": ("/entrypoint", *["y" * 1000] * 3000)}, "its arguments and variables have"),
    "entrypoint": (
        {"entrypoint": ("/" + "./" * 2500 + "entrypoint",)},
        "has 5011 bytes, and the kernel takes",
    ),
    "name": ({"entrypoint": ("/" + "x" * 300,)}, "is not in the image"),
    "nothing": ({"entrypoint": ("",)}, "the entrypoint is an empty text: "),
    "a directory": ({"entrypoint": ("/etc",)}, "the entrypoint '/etc' is a directory: "),
}


@pytest.mark.parametrize("case", TOO_LONG)
def test_an_image_that_the_kernel_would_not_start_is_refused_before_a_run(
    shim: Shim, public_directory: str, case: str
) -> None:
    options, said = TOO_LONG[case]
    layout = os.path.join(public_directory, f"exec-limits-{case}-{shim.account.kind}")
    build_layout(layout, files={"entrypoint": "#!/bin/sh\n"}, compression="none", **options)  # type: ignore[arg-type]
    with_usual_stack = shim._replace(wrapper=("prlimit", f"--stack={4 * IN_ALL}"))
    done = with_usual_stack.run("exec", f"oci:{layout}", "metadata")
    assert (done.code, done.out) == (125, b""), done
    *_, message = done.err.decode().splitlines()
    assert layout in message
    assert said in message
    assert len(message) < 500
    assert not os.path.exists(os.path.join(shim.root, "runs", "1"))
