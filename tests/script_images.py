"""Images whose entrypoint is a shell script that a test writes."""

import os
from collections.abc import Callable, Sequence

import pytest

from layouts import Files, build_layout

METADATA = 'printf "backend: tweed/v1\\nname: n\\nversion: v\\n"'

ScriptImage = Callable[..., str]


@pytest.fixture
def script_image(public_directory: str, request: pytest.FixtureRequest) -> ScriptImage:
    """Make an image whose entrypoint is the given text of a shell script; returns its reference for the command line.

    The script gets the operation as its first argument. Further options are those of a layout's image.
    """
    made = 0

    def make(
        script: str,
        *,
        files: Files | None = None,
        user: str = "",
        env: Sequence[str] = (),
        workdir: str = "",
        stop_signal: str = "",
    ) -> str:
        nonlocal made
        made += 1
        name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
        layout = os.path.join(public_directory, f"{name}-{made}")
        build_layout(
            layout,
            files={**(files or {}), "entrypoint": f"#!/bin/sh\n{script}\n"},
            user=user,
            env=env,
            workdir=workdir,
            stop_signal=stop_signal,
            compression="none",
        )
        return f"oci:{layout}"

    return make
