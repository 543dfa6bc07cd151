"""The fixtures themselves, where a fault of theirs would let a fault of the program pass."""

import socket

import pytest

from accounts import Account
from installed import fresh_shim
from leftovers import cgroups
from tweed_shim.runtime import host


def test_the_control_groups_of_a_run_are_found(
    accounts: dict[str, Account], program: str, redis_image: str
) -> None:
    if not host.inspect().cgroups.version:
        pytest.skip("this host lets nobody make control groups")
    with (
        fresh_shim(accounts["root"], program) as shim,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        configuration = f'{{"host": "127.0.0.1", "port": {server.getsockname()[1]}}}'.encode()
        image = f"oci:{redis_image}"
        done = shim.run("exec", image, "configure", "--config", "-", stdin=configuration)
        assert done.code == 0, done
        with shim.start("exec", image, "check", "--network", "host") as process:
            # The image waits for an answer until its connection is closed.
            connection, _ = server.accept()
            found = cgroups(shim.root)
            connection.close()
            process.communicate(timeout=60)
        assert found
        assert not cgroups(shim.root)
