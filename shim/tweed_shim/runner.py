"""One image, one request, one run: what every contract does, written once.

A contract is a table of operations and its own state. It makes a Call for each operation, and a Runner does the rest.
The Runner inspects the host and checks the options once, before anything is pulled. Then it brings the image into the
store, makes the request, runs it and records the run. Nothing here may know the name of a contract.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tweed_shim.base import option_values, trace
from tweed_shim.base.lean.typing import Any
from tweed_shim.base.option_values import optional
from tweed_shim.base.records import EMPTY, Record, replace
from tweed_shim.base.settings import Settings
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.image import pull, store
from tweed_shim.image.reference import Reference
from tweed_shim.image.store import Image
from tweed_shim.runtime import container, host, log_space, process, recorded_run, security_options, spec
from tweed_shim.runtime.console import Console
from tweed_shim.runtime.options import ContainerOptions
from tweed_shim.runtime.recorded_run import Job, Site
from tweed_shim.runtime.request import KEEP_LIMIT, InputVolume, Mount, Outcome, OutputVolume, Request
from tweed_shim.runtime.runs import Run


def check_platform(value: object) -> str:
    """Check the name of a platform. Raises ConfigError."""
    # Imported here because a platform is rarely named.
    from tweed_shim.image import platforms

    text = option_values.text(value)
    platforms.parse(text)
    return text


class RunOptions(ContainerOptions):
    """Options for pulling and running an image.

    pull: `always`, `missing` or `never`. platform: `os/arch[/variant]`. insecure, ca_file, cert_file, key_file: as in
    ConnectOptions. pull_timeout: how many seconds a pull of the image may take; None for no limit. The others are those
    of ContainerOptions.
    """

    pull: str = "missing"
    platform: str | None = None
    insecure: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    pull_timeout: float | None = None

    CHECKS = option_values.checks(
        pull=option_values.pull_policy,
        platform=optional(check_platform),
        insecure=ConnectOptions.CHECKS["insecure"],
        ca_file=ConnectOptions.CHECKS["ca_file"],
        cert_file=ConnectOptions.CHECKS["cert_file"],
        key_file=ConnectOptions.CHECKS["key_file"],
        pull_timeout=ConnectOptions.CHECKS["timeout"],
    )

    @property
    def connect(self) -> ConnectOptions:
        """The options for connections to the image's registry."""
        return ConnectOptions(
            self.insecure, self.ca_file, self.cert_file, self.key_file, timeout=self.pull_timeout
        )


class Call(Record):
    """One operation of a contract on an image.

    arguments: for the image's entrypoint. timeout: seconds, unless the options name a time. variables: set in the
    environment of the program. program: what is run in the place of the image's entrypoint, with its arguments; it need
    not be in the image. network: what the operation needs, whatever the options say; None: as the options say.
    The others are the fields of Request with the same names.
    """

    arguments: tuple[str, ...]
    timeout: float
    variables: Mapping[str, str] = EMPTY
    network: str | None = None
    home: str = ""
    mounts: tuple[Mount, ...] = ()
    keep_limit: int = KEEP_LIMIT
    inputs: InputVolume | None = None
    outputs: OutputVolume | None = None
    stdin: bytes | None = None
    stdout: str = "log"
    stderr: str = "log"
    keep: str = ""
    program: tuple[str, ...] = ()


class Runner:
    """Runs images of one store on this host, with the same options.

    Raises ConfigError for options that do not exist or are not safe, HostError for those that this host cannot grant.
    Nothing has been pulled or changed then.
    """

    def __init__(self, settings: Settings, options: RunOptions, console: Console) -> None:
        self.options = options
        self.console = console
        self.host = host.inspect()
        self.root = settings.root
        self.runtime = settings.runtime
        self._site = Site(settings, self.host, console)
        self.security = security_options.resolve(options, self.host)

    @contextmanager
    def image(self, source: Reference | Callable[[], Image]) -> Iterator[Image]:
        """Yield an unpacked image. It is not removed for as long as the block lasts.

        source: its reference, or a function that brings it into the store. Raises what `pull.obtain` raises.
        """

        def obtain() -> Image:
            with trace.span("resolve"):
                return self.obtain(source) if isinstance(source, Reference) else source()

        log_space.relieve_disk(self.root)
        with pull.held(obtain) as image, store.disk_faults(self.root):
            yield image

    def obtain(self, reference: Reference) -> Image:
        """Pull an image as the options say, and return it. Raises what `pull.obtain` raises."""
        options = self.options
        return pull.obtain(
            self.root,
            reference,
            pull=options.pull,
            platform=options.platform,
            connect=options.connect,
            report=self.console.report,
            idmap=self.host.ids,
        )

    def request(self, image: Image, call: Call) -> Request:
        """Return the request of a call. Raises ImageError for an image that has no such call or is not safe to run."""
        options = self._options_of(call)
        config = image.config
        resolved = process.resolve(
            image.rootfs,
            what=image.reference,
            entrypoint=call.program or config.entrypoint,
            arguments=() if call.program else call.arguments,
            env=config.env,
            user=config.user,
            cwd=config.working_dir,
            variables=call.variables,
            ids=self.security.userns or self.host.ids,
            is_checked=not call.program,
        )
        request = Request(
            image.rootfs,
            resolved,
            options,
            self.security,
            home=call.home,
            mounts=(*process.network_mounts(options.network), *call.mounts),
            keep_limit=call.keep_limit,
            inputs=call.inputs,
            outputs=call.outputs,
            stdin=call.stdin,
            stdout=call.stdout,
            stderr=call.stderr,
            stop_signal=config.stop_signal,
            architecture=config.architecture,
            keep=call.keep,
        )
        spec.check_image(request, self.host, image.reference)
        return request

    def _options_of(self, call: Call) -> RunOptions:
        """Return the options with the network of a call, and with its timeout where they have none."""
        options = self.options
        changes: dict[str, Any] = {}
        if call.network is not None and call.network != options.network:
            changes["network"] = call.network
        if options.timeout is None:
            changes["timeout"] = call.timeout
        return replace(options, **changes) if changes else options

    def config(self, request: Request, name: str) -> dict[str, Any]:
        """Return the `config.json` of a request for a run called `name`, without running it."""
        return spec.generate(request, self.host, bundle=container.bundle_directory(self.root), name=name)

    def run(self, request: Request, job: Job, console: Console | None = None) -> tuple[Run, Outcome]:
        """Run a request as a recorded run of the store. Raises what `recorded_run.run_recorded` raises.

        console: where its diagnostics are shown; by default on the runner's own.
        """
        site = self._site if console is None else replace(self._site, console=console)
        return recorded_run.run_recorded(request, job, site)
