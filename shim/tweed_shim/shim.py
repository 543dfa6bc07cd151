"""The Python API: a store of images and clouds, and the backends and packages that use it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tweed_shim import gc
from tweed_shim.base.lean.typing import TYPE_CHECKING, Any
from tweed_shim.base.option_values import argument, flag, instance, optional, path, sequence, text, text_map
from tweed_shim.base.records import EMPTY
from tweed_shim.base.settings import Settings, check_root, default_log_limit, default_root
from tweed_shim.host import interpreter, userns
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.image import pull, removal, store
from tweed_shim.runner import RunOptions
from tweed_shim.runtime import log_space, runs
from tweed_shim.runtime.console import Console
from tweed_shim.tweed import cloud_removal, cloud_states, clouds
from tweed_shim.tweed.backend import Backend
from tweed_shim.tweed.clouds import Cloud
from tweed_shim.tweed.image_users import image_users
from tweed_shim.tweed.operation_runner import Options

if TYPE_CHECKING:
    from tweed_shim import fsck
    from tweed_shim.tweed.instance_states import InstanceState
    from tweed_shim.tweed.pattern import Pattern
    from tweed_shim.tweed.recorded_instance import RecordedInstance


class Shim:
    """A store, and the OCI runtime for its images.

    root: the store's directory; by default `$TWEED_SHIM_ROOT`, else `/var/lib/tweed-shim` for root and
    `$XDG_DATA_HOME/tweed-shim` for other users. runtime: the program of the OCI runtime. console: shows diagnostics; by
    default they are only in the logs. log_limit: the most bytes that the logs of all runs take on disk together; by
    default `$TWEED_SHIM_LOG_LIMIT`, else 1 GiB. python: the path of the Python interpreter for the shim's own programs,
    needed only where `sys.executable` is no interpreter and none is found; it applies to the whole process.
    Raises ConfigError without a root where there is no home directory.

    Safe to use from several threads and processes at once.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        runtime: str = "runc",
        console: Console | None = None,
        log_limit: int | None = None,
        python: str | os.PathLike[str] | None = None,
    ) -> None:
        directory = default_root(os.environ, os.geteuid()) if root is None else root
        if directory == "":
            check_root(directory)
        directory = argument("root", directory, path)
        limit = default_log_limit(os.environ) if log_limit is None else log_limit
        self.settings = Settings(os.path.abspath(directory), runtime, limit)
        self._console = argument("console", console, optional(instance(Console))) or Console()
        if python is not None:
            interpreter.choose(os.path.abspath(argument("python", python, path)))

    def backend(self, image: str, *, cloud: str = "default", options: Options | None = None) -> Backend:
        """Return a backend: an image and a cloud. Nothing is pulled or run yet.

        Raises BadReference for an invalid reference, ConfigError for an invalid name of a cloud, and HostError for
        options that the host does not support.
        """
        options = argument("options", options, optional(instance(Options))) or Options()
        return Backend(self.settings, image, cloud, options=options, console=self._console)

    def pattern(
        self,
        image: str,
        *,
        cloud: str | None = "default",
        keep_backend: bool = False,
        allow: Sequence[str] = (),
        options: Options | None = None,
    ) -> "Pattern":
        """Return a pattern: an image that provisions instances of a service. Nothing is pulled or run yet.

        cloud: where `provision` deploys; an instance remembers it. None: without a backend. keep_backend: leave the
        backend's interaction of each operation set up, for a look. allow: variables that the backend's setup may set
        although they decide which code runs, such as PATH. Raises BadReference for an invalid reference,
        ConfigError for an invalid name of a cloud, and HostError for options that the host does not support.
        """
        from tweed_shim.tweed.pattern import Pattern

        options = argument("options", options, optional(instance(Options))) or Options()
        return Pattern(
            self.settings,
            image,
            cloud,
            keep_backend=keep_backend,
            allow=allow,
            options=options,
            console=self._console,
        )

    def bootstrap(
        self,
        action: str,
        component: str,
        *,
        package: Mapping[str, str] = EMPTY,
        parameters: Any = None,
        credentials: Any = None,
        repository: str | os.PathLike[str] = "",
        lookups: Sequence[str | os.PathLike[str]] = (),
        ocm_config: str | os.PathLike[str] | None = None,
        options: RunOptions | None = None,
        trust_templates: bool = False,
        copy_resources: bool = False,
        every_output: bool = False,
        allow_verbs: Sequence[str] = (),
    ) -> dict[str, bytes]:
        """Carry out an action of a TOI package, as `tweed-shim toi bootstrap` does, and return its outputs by name.

        component: `REPOSITORY//NAME:VERSION`, or `NAME:VERSION` in `repository`; `lookups` are further repositories.
        package: parts of the package's identity. parameters, credentials: the content of the files of these names, as
        data or as text; no file is read. ocm_config: the path of OCM's configuration; by default the usual path, and
        the text "None" for no configuration. options: for pulling and running the executor's image; `timeout` also
        limits all templates together. allow_verbs: HTTP methods besides GET with which a resource may be fetched.

        Raises OperationFailed and TimedOut, whose `outputs` are what the executor wrote nevertheless, and OutputsLost,
        whose `outputs` are those that could be kept. Where nothing was run, raises ComponentError, ContractError,
        ConfigError, RegistryError and the errors of `pull`.
        """
        from tweed_shim.toi import python_api
        from tweed_shim.toi.preparation import BootstrapRequest

        repository = repository if repository == "" else argument("repository", repository, path)
        request = BootstrapRequest(
            argument("action", action, text),
            argument("package", package, text_map),
            python_api.text_and_name(parameters, "the parameters"),
            python_api.text_and_name(credentials, "the credentials"),
            "system" if argument("trust_templates", trust_templates, flag) else "private",
            argument("copy_resources", copy_resources, flag),
        )
        return python_api.run_action(
            self.settings,
            self._console,
            argument("options", options, optional(instance(RunOptions))) or RunOptions(),
            component=component,
            request=request,
            repository=repository,
            lookups=argument("lookups", lookups, sequence(path)),
            ocm_config=argument("ocm_config", ocm_config, optional(path)),
            every_output=argument("every_output", every_output, flag),
            verbs=argument("allow_verbs", allow_verbs, sequence(text)),
        )

    def pull(
        self,
        image: str,
        *,
        policy: str = "always",
        platform: str | None = None,
        insecure: bool = False,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        timeout: float | None = None,
    ) -> store.Image:
        """Pull an image into the store, unpack it, and return it.

        insecure, ca_file, cert_file, key_file, timeout: as in ConnectOptions. Raises BadReference, ConfigError,
        RegistryError (PullTimedOut after `timeout` seconds), ImageError, HostError, or StateError (policy
        `never`, and not in the store).
        """
        log_space.relieve_disk(self.settings.root)
        check = RunOptions.CHECKS
        return pull.obtain(
            self.settings.root,
            image,
            pull=argument("policy", policy, check["pull"]),
            platform=argument("platform", platform, check["platform"]),
            connect=ConnectOptions(insecure, ca_file, cert_file, key_file, timeout),
            report=self._console.report,
            idmap=userns.detect(),
        )

    def images(self) -> list[store.ListedImage]:
        """Return the images of the store."""
        with store.disk_faults(self.settings.root):
            return store.images(self.settings.root, self._console.warn)

    def remove(self, images: Sequence[str]) -> None:
        """Remove images from the store.

        Raises StateError, and removes none, where an image is not in the store, or in use by a running operation, a
        cloud or an interaction.
        """
        root, names = self.settings.root, argument("images", images, sequence(text))
        removal.remove(root, names, lambda: image_users(root), warn=self._console.warn)

    def gc(
        self, *, keep_last: int = 0, keep_logs: int = gc.KEEP_LOGS, dry_run: bool = False
    ) -> list[gc.Removed]:
        """Remove unused images and blobs, old logs, and what crashes left; see `gc.collect`."""
        root, warn = self.settings.root, self._console.warn
        keep_last = argument("keep_last", keep_last, gc.KEPT_IMAGES)
        keep_logs = argument("keep_logs", keep_logs, gc.KEPT_LOGS)
        dry_run = argument("dry_run", dry_run, flag)
        with store.disk_faults(root):
            return list(
                gc.collect(root, keep_last=keep_last, keep_logs=keep_logs, dry_run=dry_run, warn=warn)
            )

    def remove_logs(self, numbers: Sequence[str] | None = None) -> None:
        """Remove runs with their records and logs; by default all runs that have ended.

        Raises StateError, and removes none, where a run is not recorded or has not ended.
        """
        root = self.settings.root
        with store.disk_faults(root):
            store.check_version(root)
            runs.remove(root, numbers)

    def fsck(
        self, *, repair: bool = False, insecure: bool = False, ca_file: str | None = None
    ) -> "list[fsck.Damage]":
        """Check the store, and return the damaged items; see `fsck.check`.

        repair: fetch and unpack them again. insecure, ca_file: as for `pull`.
        """
        from tweed_shim import fsck
        from tweed_shim.image.progress import silent

        root, connect = self.settings.root, ConnectOptions(insecure, ca_file)
        is_repairing = argument("repair", repair, flag)
        with store.disk_faults(root):
            return list(fsck.check(root, connect if is_repairing else None, self._console.report or silent))

    def clouds(self) -> list[cloud_states.CloudState]:
        """Return the clouds of the store, with their interactions."""
        root = self.settings.root
        with store.disk_faults(root):
            store.check_version(root)
            return cloud_states.states(root, self._console.warn)

    def remove_cloud(self, name: str) -> None:
        """Remove a cloud. Raises StateError where there is no such cloud, or it has interactions or instances."""
        with self._cloud(name) as cloud:
            cloud_removal.remove(cloud)

    def forget(self, cloud: str, interaction: str | None = None) -> None:
        """Give up an interaction that no teardown can remove, or a cloud with all of its interactions.

        No image is run: what the images made in the backend stays there. The console's `warn` is called with a sentence
        about each loss before anything is removed. Raises StateError where there is no such cloud, or the interaction
        is not set up.
        """
        with self._cloud(cloud) as existing:
            if interaction is None:
                cloud_removal.give_up(existing, self._console.warn)
            else:
                cloud_removal.give_up_interaction(existing, interaction, self._console.warn)

    def environment(self, cloud: str = "default", interaction: str = "default") -> dict[str, str]:
        """Return the environment of an interaction that is set up, without its image.

        Raises StateError where the interaction is not set up, or its environment could not be recorded.
        """
        with self._cloud(cloud) as existing:
            return clouds.environment(existing, interaction)

    def instances(self) -> "list[InstanceState]":
        """Return the instances that patterns have provisioned, with their bindings."""
        from tweed_shim.tweed import instance_states

        root = self.settings.root
        with store.disk_faults(root):
            store.check_version(root)
            return instance_states.states(root, self._console.warn)

    def instance(self, name: str) -> "RecordedInstance":
        """Return an instance as it is recorded: its state, its files and its credentials, without its image.

        Raises ConfigError for an invalid name; the methods raise StateError where there is no such instance.
        """
        from tweed_shim.tweed import instances
        from tweed_shim.tweed.recorded_instance import RecordedInstance

        root = self.settings.root
        with store.disk_faults(root):
            store.check_version(root)
        return RecordedInstance(
            instances.at(root, name, userns.detect(), self._console.warn), self._console.warn
        )

    @contextmanager
    def _cloud(self, name: str) -> Iterator[Cloud]:
        """Yield the cloud of a name, and turn errors of the disk within the block into HostError."""
        root = self.settings.root
        cloud = Cloud(root, clouds.check_name("a cloud", name), userns.detect(), self._console.warn)
        with store.disk_faults(root):
            store.check_version(root)
            yield cloud
