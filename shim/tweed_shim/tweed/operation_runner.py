"""Run one operation of the contract: make the request from its row of the table, run it, and record the run."""

from tweed_shim.base import option_values, trace
from tweed_shim.base.lean.typing import Any
from tweed_shim.base.records import Record
from tweed_shim.errors import ContractError
from tweed_shim.image.store import Image
from tweed_shim.runner import Call, Runner, RunOptions
from tweed_shim.runtime import runs
from tweed_shim.runtime.recorded_run import Job
from tweed_shim.runtime.request import KEEP_LIMIT, RESULT_LIMIT, Mount, Request
from tweed_shim.tweed.contract import HOME, IN_CONFIG, OUT_CONFIG, Operation

ENV_STREAMS = ("stdout", "stderr")


class Options(RunOptions):
    """The options for pulling a backend's image and running its operations; the defaults are those of the contract.

    env_stream: the stream on which setup prints the environment. keep_limit: the most bytes that configure and setup
    may leave in $OUT_CONFIG. The operation `metadata` never has a network.
    """

    env_stream: str = "stdout"
    keep_limit: int = KEEP_LIMIT

    CHECKS = option_values.checks(
        env_stream=option_values.choice(*ENV_STREAMS),
        keep_limit=option_values.whole_number(most=1 << 60, example="1 << 30"),
    )


class OperationCall(Record):
    """One call of an operation: its row of the table, its image, and the directories that it reads and writes."""

    operation: Operation
    image: Image
    interaction: str
    in_config: str | None = None
    out_config: str | None = None
    stdin: bytes | None = None


class OperationRunner:
    """Run operations with the same options for one cloud. cloud: its name, for the records of the runs."""

    def __init__(self, runner: Runner, options: Options, cloud: str) -> None:
        self._runner = runner
        self._options = options
        self._cloud = cloud

    def run(self, call: OperationCall, **hooks: Any) -> tuple[runs.Run, bytes]:
        """Run an operation, and return its run and its result. Raises ContractError where the result is too long.

        hooks: values for the fields if_failed, meanwhile and succeeded of Job.
        """
        operation, image = call.operation, call.image
        what = f"{image.reference} {operation.name}"
        record = {
            "operation": operation.name,
            "image": image.reference,
            "digest": image.digest,
            "cloud": self._cloud if operation.reads or operation.writes else "",
            "interaction": call.interaction,
        }
        with trace.span("prepare"):
            request = self.request(call)
        job = Job(what, record, **{"meanwhile": lambda: import_for(operation), **hooks})
        run, outcome = self._runner.run(request, job)
        if outcome.overflow:
            raise ContractError(
                f"{what} wrote more than {RESULT_LIMIT >> 20} MiB, which is no {operation.result}; it was killed, "
                f"and 'tweed-shim logs {run.number}' shows how that began"
            )
        return run, outcome.result

    def request(self, call: OperationCall) -> Request:
        """Return the request to run an operation, made by its row of the table."""
        operation, options, config = call.operation, self._options, call.image.config
        volumes = (
            ("IN_CONFIG", IN_CONFIG, call.in_config, False),
            ("OUT_CONFIG", OUT_CONFIG, call.out_config, True),
        )
        mounts = {name: Mount(source, where, writable) for name, where, source, writable in volumes if source}
        on_stderr = operation.result == "environment" and options.env_stream == "stderr"
        stdout, stderr = ("log", "result") if on_stderr else ("result" if operation.result else "log", "log")
        if self._runner.host.ids.kind == "single" and config.user not in ("", "0", "root", "0:0"):
            self._runner.console.info(
                f"{call.image.reference} asks for user '{config.user}' and runs as its root, which is you: there is "
                "only one id; /etc/subuid and /etc/subgid can grant more"
            )
        return self._runner.request(
            call.image,
            Call(
                (operation.name,),
                operation.timeout,
                variables={"HOME": HOME, **{name: mount.destination for name, mount in mounts.items()}},
                network="none" if operation.network == "none" else None,
                home=HOME,
                mounts=tuple(mounts.values()),
                keep_limit=options.keep_limit,
                stdin=call.stdin,
                stdout=stdout,
                stderr="stdout" if operation.merged else stderr,
            ),
        )


def import_for(operation: Operation) -> None:
    """Import the reader of the operation's result while the container runs, when the time costs nothing."""
    if operation.result == "environment":
        import tweed_shim.tweed.environment
    elif operation.result == "metadata":
        import jsonschema  # noqa: F401 - see above
        import yaml  # noqa: F401 - likewise

        import tweed_shim.tweed.metadata  # noqa: F401 - likewise
