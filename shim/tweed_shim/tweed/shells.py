"""An interactive shell in the sandbox of an operation: its mounts, variables, user, network and privileges.

The image sees what is recorded, as the operation would. What it may write are copies that are gone with the run, so
that nothing done by hand becomes a state.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tweed_shim.base.option_names import bare
from tweed_shim.base.records import EMPTY, Record, replace
from tweed_shim.errors import HostError, ImageError
from tweed_shim.host import subprocesses, workdirs
from tweed_shim.host.programs import find_program
from tweed_shim.image.store import Image
from tweed_shim.runner import Runner
from tweed_shim.runtime import bundle, executables
from tweed_shim.runtime.recorded_run import Job
from tweed_shim.runtime.request import Mount, Request
from tweed_shim.tweed.contract import WRITABLE
from tweed_shim.tweed.operation_runner import OperationCall, OperationRunner

# Where the host's programs are shown: no image has anything in /tweed that is not the contract's.
TOOLS = "/tweed/tools"
SHELL = "/bin/sh"


class Shell(Record):
    """What is run in the place of the operation. program: a program with its arguments; () for a shell.

    tools: whether the host's busybox is shown at TOOLS. terminal: the rows and columns of the terminal, None where the
    shell has none. variables: set besides those of the operation.
    """

    program: tuple[str, ...] = ()
    tools: bool = False
    terminal: tuple[int, int] | None = None
    variables: Mapping[str, str] = EMPTY


@contextmanager
def throw_away(runner: Runner, call: OperationCall) -> Iterator[tuple[OperationCall, str]]:
    """Yield a call whose writable directories are copies, and a directory for more; both are gone after the block."""
    writable = {
        "OUT_CONFIG": bool(call.operation.writes),
        "CREDSTORE": call.operation.credstore == WRITABLE,
        "OUTPUTS": call.operation.outputs,
    }
    ids = runner.host.ids
    with workdirs.directory(workdirs.tmp_directory(runner.root), ids) as work:
        directories = {}
        for name, source in call.directories.items():
            directories[name] = source
            if writable.get(name) or not source:
                directories[name] = os.path.join(work, name.lower())
                bundle.copy(ids, source, directories[name])
                if not writable.get(name):
                    os.chmod(directories[name], 0o555)  # noqa: S103 - it is empty, and the container's user reads it
        yield replace(call, directories=directories), work


def run(runner: Runner, operations: OperationRunner, call: OperationCall, shell: Shell) -> int:
    """Run a shell in the sandbox of a call, on the streams of the runner's console, and return its exit code."""
    program = shell.program or ((f"{TOOLS}/sh",) if shell.tools else (SHELL,))
    with throw_away(runner, replace(call, program=program)) as (changed, work):
        request = operations.request(changed)
        if not shell.tools:
            _check_program(call.image, request)
        environment = dict(each.split("=", 1) for each in request.process.env) | dict(shell.variables)
        mounts = request.mounts
        if shell.tools:
            mounts += (tools(work),)
            environment["PATH"] += f":{TOOLS}"
        request = replace(
            request,
            process=replace(
                request.process, env=tuple(f"{name}={value}" for name, value in environment.items())
            ),
            mounts=mounts,
            # The time limit of the operation is not that of who looks around.
            options=replace(request.options, timeout=runner.options.timeout),
            stdin=None,
            stdout="log",
            stderr="log",
            interactive=True,
            terminal=shell.terminal,
        )
        image = call.image
        record = {
            "operation": "shell",
            "image": image.reference,
            "digest": image.digest,
            "cloud": "",
            "interaction": "",
        }
        job = Job(f"{image.reference} shell", {**record, **call.names})
        _, outcome = runner.run(request, job)
        return outcome.code


def _check_program(image: Image, request: Request) -> None:
    """Raise ImageError where an image does not have the program of a request."""
    process = request.process
    path = next(each[5:] for each in process.env if each.startswith("PATH="))
    try:
        executables.find_executable(image.rootfs, process.args[0], cwd=process.cwd, path_variable=path)
    except ImageError as error:
        raise ImageError(
            f"{image.reference}: {error}; {bare('--tools')} brings the host's busybox in"
        ) from None


def tools(directory: str) -> Mount:
    """Make the directory of the host's busybox, with a link for each of its programs; return its mount.

    Raises HostError where the host has no busybox without libraries.
    """
    program = find_program("busybox")
    if program is None or not executables.is_static(program):
        raise HostError(
            f"{bare('--tools')} needs a static busybox on the host; install it with: apt install busybox-static"
        )
    listed = subprocesses.run(subprocesses.Command([program, "--list"], stderr=subprocesses.OUTPUT))
    path = os.path.join(directory, "tools")
    os.mkdir(path)
    target = os.path.join(path, "busybox")
    with open(program, "rb") as source, open(target, "wb") as copied:
        while os.sendfile(copied.fileno(), source.fileno(), None, 1 << 20):
            pass
    for name in listed.output.decode(errors="replace").split():
        if name.isprintable() and "/" not in name and name != "busybox":
            os.symlink("busybox", os.path.join(path, name))
    for each in (target, path):
        os.chmod(each, 0o555)  # noqa: S103 - the container's user is another one than the caller
    return Mount(path, TOOLS)
