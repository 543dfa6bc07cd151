"""Backend and pattern images that do what a test says, and the commands on an instance of a pattern."""

import json
import os
import subprocess
from typing import Any, NamedTuple

from installed import Result, Shim, done, processes, survivors
from script_images import METADATA, ScriptImage

PATTERN_METADATA = 'printf "pattern: tweed/v1\\nname: p\\nversion: v\\n"'

WAIT = 60
# Says that it has begun, and does not end. For a pattern, and for a backend whose stdout is a result.
STAY = "echo begun; sleep 1000"
STAY_ON_STDERR = f"( {STAY} ) >&2"
# Evaluates the text that a document in JSON has under the name of the operation. The text has no double quote.
EVALUATE = r"""
wanted() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" "$2"; }
"""
# A backend whose configuration has its commands: `setup` prints the environment in "environment", then does "setup".
BACKEND = f"""{EVALUATE}
case $1 in
    metadata) {METADATA} ;;
    configure) cat > "$OUT_CONFIG/config" ;;
    check) ;;
    setup)
        mkdir "$OUT_CONFIG/keys"
        echo the-key > "$OUT_CONFIG/keys/kubeconfig"
        cp "$IN_CONFIG/config" "$OUT_CONFIG/config"
        wanted environment "$IN_CONFIG/config"
        eval "$(wanted setup "$IN_CONFIG/config")" ;;
    teardown)
        echo tearing down
        eval "$(wanted teardown "$IN_CONFIG/config")" ;;
esac
"""
# A pattern whose inputs have its commands. METADATA stands for what prints its metadata.
PATTERN = f"""{EVALUATE}
case $1 in
    metadata)
METADATA
exit ;;
    provision) cp "$INPUTS" "$CREDSTORE/commands"; commands=$INPUTS ;;
    *) commands=$CREDSTORE/commands ;;
esac
command=$(wanted "$1" "$commands")
if test "$1" = bind && test -z "$command"; then echo 'password: secret'; fi
eval "$command"
"""


def backend_image(script_image: ScriptImage, **options: Any) -> str:
    """Make the backend image; options are those of `script_image`."""
    return script_image(BACKEND, **options)


def pattern_image(script_image: ScriptImage, metadata: str = PATTERN_METADATA, **options: Any) -> str:
    """Make the pattern image; options are those of `script_image`."""
    return script_image(PATTERN.replace("METADATA", metadata), **options)


class Service(NamedTuple):
    """A pattern image with the backend image of a cloud, in the store of a shim, which has both images."""

    shim: Shim
    pattern: str
    backend: str = ""

    def configure(self, cloud: str = "prod", **commands: str) -> None:
        """Configure a cloud with what its setup prints and does."""
        configuration = json.dumps(commands).encode()
        done(self.shim.run("-q", "exec", self.backend, "configure", "--cloud", cloud, stdin=configuration))

    def run(self, operation: str, *options: str, **rest: Any) -> Result:
        """Run an operation of the pattern."""
        return self.shim.run("exec", self.pattern, operation, *options, **rest)

    def provision(self, *options: str, **inputs: Any) -> Result:
        """Provision an instance, by default in the cloud `prod`. Inputs by the name of an operation are its command."""
        if not self.backend:
            options = ("--no-backend", *options)
        elif not {"--cloud", "--no-backend"} & {*options}:
            options = ("--cloud", "prod", *options)
        return self.run("provision", "--inputs", "-", *options, stdin=json.dumps(inputs).encode())

    def states(self) -> dict[str, str]:
        """The states of the instances, by their names."""
        return {each["name"]: each["state"] for each in self.listed("instances")}

    def bindings(self, instance: str = "default") -> dict[str, str]:
        """The states of the bindings of an instance, by their names."""
        return {each["name"]: each["state"] for each in self.shown(instance)["bindings"]}

    def shown(self, instance: str = "default") -> dict[str, Any]:
        """What `instances show` says of an instance."""
        shown: dict[str, Any] = json.loads(done(self.shim.run("instances", "show", instance, "--json")).out)
        return shown

    def setups(self) -> list[dict[str, Any]]:
        """The interactions that are set up, of all clouds."""
        return [setup for cloud in self.listed("clouds") for setup in cloud["setups"]]

    def operations(self) -> list[str]:
        """The operations that were run, in their order."""
        return [run["operation"] for run in reversed(self.listed("logs"))]

    def listed(self, what: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(done(self.shim.run(what, "--json")).out)
        return listed

    def path(self, *names: str) -> str:
        """A path in the directory of instances."""
        return os.path.join(self.shim.root, "instances", *names)


class Started:
    """An operation that has begun: the process of the shim, and the stream that says so."""

    def __init__(self, service: Service, operation: str, *options: str, where: str, **commands: str) -> None:
        """Start an operation, and wait until `begun` stands on the stream `where`."""
        self.service = service
        inputs: tuple[str, ...] = ()
        if operation == "provision":
            inputs = (*(("--cloud", "prod") if service.backend else ("--no-backend",)), "--inputs", "-")
        self.process = service.shim.start(
            "exec", service.pattern, operation, *inputs, *options, stdin=subprocess.PIPE
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(commands).encode())
        self.process.stdin.close()
        self.process.stdin = None
        self.read_until("begun", where=where)

    def read_until(self, line: str, *, where: str) -> None:
        stream = self.process.stdout if where == "stdout" else self.process.stderr
        assert stream is not None
        read = b""
        for each in stream:
            read += each
            if each == f"{line}\n".encode():
                return
        raise AssertionError(read)

    def end(self) -> tuple[int, str, str]:
        """Wait for its end, and return its exit code with what it has written since."""
        out, err = self.process.communicate(timeout=WAIT)
        return self.process.returncode, out.decode(), err.decode()

    def kill(self) -> None:
        """Kill the shim, and wait until all that it has started is gone."""
        self.process.kill()
        self.process.communicate(timeout=WAIT)
        assert not survivors(processes(self.service.shim.root, self.service.shim.account))


def listing(root: str) -> dict[str, object]:
    """All that a refusal must leave as it was: every file of a store with its content, but for runs and images."""
    found: dict[str, object] = {}
    for directory in ("clouds", "instances"):
        for path, directories, names in os.walk(os.path.join(root, directory)):
            for name in (*directories, *names):
                full = os.path.join(path, name)
                status = os.lstat(full)
                found[full] = (status.st_mode, status.st_ino, status.st_mtime_ns if name in names else 0)
    return found
