"""Run one operation of a contract: make the request from its row of the table, run it, and record the run."""

from collections.abc import Mapping
from contextlib import ExitStack

from tweed_shim.base import option_values, trace
from tweed_shim.base.lean.typing import TYPE_CHECKING, Any
from tweed_shim.base.records import EMPTY, Record, replace
from tweed_shim.errors import ContractError, ShimError
from tweed_shim.image.store import Image
from tweed_shim.runner import Call, Runner, RunOptions
from tweed_shim.runtime import runs
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.recorded_run import Job
from tweed_shim.runtime.request import KEEP_LIMIT, RESULT_LIMIT, InputVolume, Mount, Request
from tweed_shim.tweed import contract
from tweed_shim.tweed.contract import (
    CREDSTORE,
    CREDSTORE_LIMIT,
    DOCUMENTS,
    HOME,
    IN_CONFIG,
    OUT_CONFIG,
    OUTPUTS,
    WRITABLE,
    Operation,
)

if TYPE_CHECKING:
    from tweed_shim.runtime.sandbox_ahead import SandboxAhead

ENV_STREAMS = ("stdout", "stderr")


class Options(RunOptions):
    """The options for pulling a backend's image and running its operations; the defaults are those of the contract.

    env_stream: the stream on which setup prints the environment. keep_limit: the most bytes that configure and setup
    may leave in $OUT_CONFIG. keep: a new or empty directory, which gets a copy of what the operation wrote, also if it
    fails; its README explains it. The operation `metadata` never has a network.
    """

    env_stream: str = "stdout"
    keep_limit: int = KEEP_LIMIT
    keep: str | None = None

    CHECKS = option_values.checks(
        env_stream=option_values.choice(*ENV_STREAMS),
        keep_limit=option_values.whole_number(most=1 << 60, example="1 << 30"),
        keep=option_values.optional(option_values.path),
    )


class OperationCall(Record):
    """One call of an operation: its row of the table, its image, and what the image is given.

    names: what is known of cloud, interaction, instance and binding, for the record of the run. directories: the host
    directories behind the variables of the contract, by variable. documents: the files in memory behind variables, by
    variable. environment: further variables, which a backend's setup printed. backend_output: the directory that this
    setup wrote; "" for none. is_kept: whether a copy of what it writes is left where the options say so. ahead: as in
    Job. program:
    what is run in the place of the image's entrypoint, with its arguments; () for the entrypoint.
    """

    operation: Operation
    image: Image
    names: Mapping[str, str] = EMPTY
    directories: Mapping[str, str] = EMPTY
    documents: Mapping[str, bytes] = EMPTY
    environment: Mapping[str, str] = EMPTY
    backend_output: str = ""
    stdin: bytes | None = None
    is_kept: bool = True
    ahead: "SandboxAhead | None" = None
    program: tuple[str, ...] = ()

    HIDDEN = ("documents", "environment", "stdin")


class OperationRunner:
    """Run operations of both contracts with the same options.

    console: where their diagnostics are shown; by default on the runner's own.
    """

    def __init__(self, runner: Runner, options: Options, console: Console | None = None) -> None:
        self._runner = runner
        self._options = options
        self._console = console
        if options.keep is not None:
            from tweed_shim.host import output_directory

            output_directory.check(options.keep)

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
            "cloud": "",
            "interaction": "",
            **call.names,
        }
        with trace.span("prepare"):
            try:
                request = self.request(call)
            except ShimError as error:
                error.never_ran = True
                raise
        job = Job(what, record, **{"meanwhile": lambda: import_for(operation), "ahead": call.ahead, **hooks})
        with ExitStack() as stack:
            if self._options.keep is not None and call.is_kept:
                from tweed_shim.runtime import kept_run

                directory = kept_run.directory(
                    self._options.keep, self._runner.host.ids, self._runner.console
                )
                request = replace(request, keep=stack.enter_context(directory))
            run, outcome = self._runner.run(request, job, self._console)
        if outcome.overflow:
            failure = ContractError(
                f"{what} wrote more than {RESULT_LIMIT >> 20} MiB, which is no {operation.result}; it was killed, "
                f"and 'tweed-shim logs {run.number}' shows how that began"
                + (f"; {job.if_failed}" if job.if_failed else "")
            )
            failure.killed = True
            raise failure
        return run, outcome.result

    def request(self, call: OperationCall) -> Request:
        """Return the request to run an operation, made by its row of the table."""
        operation, options, config = call.operation, self._options, call.image.config
        mounts, documents = _mounts(call), contract.documents(operation)
        on_stderr = operation.result == "environment" and options.env_stream == "stderr"
        stdout, stderr = ("log", "result") if on_stderr else ("result" if operation.result else "log", "log")
        if self._runner.host.ids.kind == "single" and config.user not in ("", "0", "root", "0:0"):
            self._runner.console.info(
                f"{call.image.reference} asks for user '{config.user}' and runs as its root, which is you: there is "
                "only one id; /etc/subuid and /etc/subgid can grant more"
            )
        variables = {
            **call.environment,
            "HOME": HOME,
            **{name: mount.destination for name, mount in mounts.items()},
            **{name: f"{DOCUMENTS}/{file}" for name, file in documents.items()},
        }
        backend_output = (
            (Mount(call.backend_output, OUT_CONFIG, for_user=True),) if call.backend_output else ()
        )
        return self._runner.request(
            call.image,
            Call(
                (operation.name,),
                operation.timeout,
                variables=variables,
                network="none" if operation.network == "none" else None,
                home=HOME,
                mounts=(*mounts.values(), *backend_output),
                keep_limit=options.keep_limit,
                inputs=_document_volume(call, documents),
                stdin=call.stdin,
                stdout=stdout,
                stderr="stdout" if operation.merged else stderr,
                program=call.program,
            ),
        )


def _mounts(call: OperationCall) -> dict[str, Mount]:
    """Return the directories of an operation by their variables, as its row of the table has them."""
    operation, directories = call.operation, call.directories
    is_writable = operation.credstore == WRITABLE
    mounts = {
        "IN_CONFIG": operation.reads and Mount(directories["IN_CONFIG"], IN_CONFIG),
        "OUT_CONFIG": operation.writes and Mount(directories["OUT_CONFIG"], OUT_CONFIG, writable=True),
        # What an image wrote to $CREDSTORE is kept even if it fails: a database whose password is lost is an orphan.
        "CREDSTORE": operation.credstore
        and Mount(
            directories["CREDSTORE"],
            CREDSTORE,
            writable=is_writable,
            limit=CREDSTORE_LIMIT,
            kept=is_writable,
            for_user=not is_writable,
        ),
        "OUTPUTS": operation.outputs and Mount(directories["OUTPUTS"], OUTPUTS, writable=True, kept=True),
    }
    return {name: mount for name, mount in mounts.items() if mount}


def _document_volume(call: OperationCall, documents: Mapping[str, str]) -> InputVolume | None:
    if not documents:
        return None
    return InputVolume(DOCUMENTS, {file: call.documents[name] for name, file in documents.items()})


def import_for(operation: Operation) -> None:
    """Import the reader of the operation's result while the container runs, when the time costs nothing."""
    if operation.result == "environment":
        import tweed_shim.tweed.environment
    elif operation.result == "credentials":
        import yaml

        import tweed_shim.tweed.credentials
    elif operation.result == "metadata":
        import jsonschema  # noqa: F401 - see above
        import yaml  # noqa: F401 - likewise

        import tweed_shim.tweed.metadata  # noqa: F401 - likewise
