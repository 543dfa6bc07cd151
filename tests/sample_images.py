"""The images of bundles/, built as scripts/build-bundle builds them."""

import os
import subprocess

import pytest

from accounts import open_to_all

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD_BUNDLE = os.path.join(PROJECT, "scripts", "build-bundle")
BUILD_COMPONENT = os.path.join(PROJECT, "scripts", "build-component")
TOI_DEMO = "//example.com/demo/greeter:1.0.0"


def _build(name: str, directory: str) -> str:
    layout = os.path.join(directory, name)
    subprocess.run([BUILD_BUNDLE, name, layout], check=True)
    open_to_all(layout)
    return layout


@pytest.fixture(scope="session")
def demo_image(public_directory: str) -> str:
    """The OCI image layout of the backend that needs no server; every user may read it."""
    return _build("demo-backend", public_directory)


@pytest.fixture(scope="session")
def redis_image(public_directory: str) -> str:
    """The OCI image layout of the Redis backend; every user may read it."""
    return _build("redis-backend", public_directory)


@pytest.fixture(scope="session")
def toi_demo(public_directory: str) -> str:
    """The component version TOI_DEMO around the sample executor, in a transport archive; every user may read it."""
    archive = os.path.join(public_directory, "toi-demo.ctf")
    subprocess.run([BUILD_COMPONENT, "toi-demo", archive], check=True, stdout=subprocess.DEVNULL)
    open_to_all(archive)
    return f"{archive}{TOI_DEMO}"
