"""Evaluate the templates of packages and users in a process of its own, with what they may reach restricted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from tweed_shim.base.records import EMPTY, Record
from tweed_shim.errors import ConfigError
from tweed_shim.host.worker_process import WorkerProcess
from tweed_shim.spiff import template_worker
from tweed_shim.spiff.merging import Document, Options

FEATURES = ("control", "interpolation")

Mode = Literal["private", "system"]
Functions = Mapping[str, Callable[..., Any]]


class Templates(Record):
    """The evaluation of all templates of one bootstrap.

    mode: what templates may reach, with `private` nothing of the host, with `system` all that the caller can. worker:
    the process that evaluates them.
    """

    mode: Mode
    worker: WorkerProcess

    def merge(
        self, template: Document, stubs: Sequence[Document] = (), functions: Functions = EMPTY
    ) -> list[tuple[Any, bool]]:
        """Process a template with stubs; see `template_worker.merge`."""
        options = Options(FEATURES, self.mode, functions=functions)
        return template_worker.merge(self.worker, template, stubs, options)

    def merge_single(
        self, template: Document, stubs: Sequence[Document], functions: Functions = EMPTY
    ) -> Any:
        """Process a template of one document, and return the result. Raises ConfigError for several documents."""
        results = self.merge(template, stubs, functions)
        if len(results) > 1:
            raise ConfigError(f"{template.name} holds {len(results)} documents: leave one")
        return results[0][0]
