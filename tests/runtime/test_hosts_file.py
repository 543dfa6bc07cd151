"""The names that a container resolves, with each network."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import Account
from installed import Shim, fresh_shim
from script_images import METADATA, ScriptImage
from tweed_shim.runtime import hosts_file

# Nothing listens at port 1; the message of busybox's wget names the address that a name leads to.
SCRIPT = f"""
if [ "$1" = metadata ]; then {METADATA}; exit; fi
hostname
for name in localhost "$(hostname)"; do busybox wget -O - "http://$name:1/" 2>&1; done
(echo x >> /etc/hosts) 2> /dev/null && echo writable
stat -c %u:%a /etc/hosts
"""


@pytest.mark.parametrize("network", ["none", "host"])
def test_localhost_and_the_containers_own_name_resolve(
    shim: Shim, script_image: ScriptImage, network: str
) -> None:
    image = script_image(SCRIPT, files={"etc/hosts": "192.0.2.1 elsewhere\n"})
    done = shim.run("exec", "--network", network, image, "configure", "--cloud", "c", stdin=b"{}")
    assert done.code == 0, done
    said = (done.out + done.err).decode()
    assert "bad address" not in said
    assert said.count("(127.0.0.1): Connection refused") + said.count("([::1]): Connection refused") == 2, (
        said
    )
    assert "0:644" in said
    assert "writable" not in said


def test_names_resolve_where_the_hosts_file_knows_none_of_them(
    accounts: dict[str, Account], program: str, script_image: ScriptImage
) -> None:
    with fresh_shim(accounts["root"], program) as shim:
        _resolve_with_a_poor_file(shim, script_image)


def _resolve_with_a_poor_file(shim: Shim, script_image: ScriptImage) -> None:
    empty = os.path.join(os.path.dirname(shim.root), "hosts")
    with open(empty, "w", encoding="ascii") as file:
        file.write("192.0.2.7 database # localhost")
    script = f'mount --bind {empty} /etc/hosts && exec "$@"'
    hidden = shim._replace(wrapper=("unshare", "-m", "sh", "-c", script, "sh"))
    done = hidden.run(
        "exec", script_image(f"{SCRIPT}\ncat /etc/hosts"), "configure", "--cloud", "c", stdin=b"{}"
    )
    said = (done.out + done.err).decode()
    assert (done.code, said.count("Connection refused")) == (0, 2), done
    assert "192.0.2.7 database" in said
    os.unlink(empty)


@given(st.binary(max_size=200))
def test_a_hosts_file_keeps_its_lines_and_gains_what_it_lacks(base: bytes) -> None:
    content = hosts_file.compose(base)
    assert content.startswith(base)
    names = [line.partition(b"#")[0].split()[1:] for line in content.splitlines()]
    for name in (b"localhost", b"tweed"):
        assert any(name in each for each in names)
    assert hosts_file.compose(content) == content
