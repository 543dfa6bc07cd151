"""Resource limits of the caller (setrlimit(2)) that are lower than those of a run."""

import pytest

from accounts import Account
from installed import fresh_shim
from script_images import METADATA, ScriptImage

SCRIPT = f"""
if [ "$1" = metadata ]; then {METADATA}; exit; fi
grep -E "processes|open files|core" /proc/self/limits
"""


@pytest.mark.parametrize("kind", ["root", "range", "single"])
def test_a_run_has_at_most_the_limits_of_its_caller(
    accounts: dict[str, Account], program: str, script_image: ScriptImage, kind: str
) -> None:
    lower = ("prlimit", "--nproc=700:700", "--nofile=500:500", "--core=0:0")
    with fresh_shim(accounts[kind], program) as shim:
        done = shim._replace(wrapper=lower).run(
            "exec", script_image(SCRIPT), "configure", "--cloud", "c", stdin=b"{}"
        )
    assert done.code == 0, done
    output = (done.out + done.err).decode()
    limits = {
        line[:25].strip(): line.split()[-3:-1] for line in output.splitlines() if line.startswith("Max")
    }
    assert limits["Max processes"] == ["700", "700"]
    assert limits["Max open files"] == ["500", "500"]
    assert limits["Max core file size"] == ["0", "0"]
