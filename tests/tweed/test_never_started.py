"""A container that is never started changes no instance."""

import os

import pytest

from accounts import AS_ONE_USER
from installed import Shim, done
from pattern_images import Service, pattern_image
from script_images import ScriptImage

# An OCI runtime that starts nothing once there is a file beside it.
RUNTIME = """#!/bin/sh
if test -e "$0.broken"; then echo "no container is started" >&2; exit 1; fi
exec runc "$@"
"""


@pytest.fixture
def runtime(shim: Shim) -> str:
    """The path of the runtime."""
    path = os.path.join(os.path.dirname(shim.root), "runtime")
    with open(path, "w", encoding="ascii") as file:
        file.write(RUNTIME)
    os.chmod(path, 0o755)
    return path


@AS_ONE_USER
def test_an_operation_whose_image_is_never_started_leaves_everything_as_it_was(
    shim: Shim, runtime: str, script_image: ScriptImage
) -> None:
    service = Service(shim._replace(runtime=runtime), pattern_image(script_image))
    done(service.provision("--instance", "before"))
    with open(f"{runtime}.broken", "w", encoding="ascii"):
        assert service.provision("--instance", "new").code == 125
        assert service.states() == {"before": "ready"}
        assert os.listdir(service.path()) == ["before"]
        assert service.run("bind", "--instance", "before").code == 125
        assert service.bindings("before") == {}
        assert service.run("deprovision", "--instance", "before").code == 125
        assert service.states() == {"before": "ready"}
    os.unlink(f"{runtime}.broken")
    assert done(service.run("bind", "--instance", "before")).out == b"password: secret\n"
    done(service.run("deprovision", "--instance", "before"))
    assert service.states() == {}
