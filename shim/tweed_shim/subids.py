"""Who tells which subordinate ids a user has: /etc/subuid and /etc/subgid, or a service that nsswitch.conf(5) names.

newuidmap(1) and newgidmap(1) ask the first service of the line `subid:` and no other (getsubids(1), subuid(5)), so the
files decide nothing where that is, for example, `sss`.
"""

from tweed_shim.letters import decimal

NSSWITCH = "/etc/nsswitch.conf"
SECONDS = 30


def service(path: str = NSSWITCH) -> str:
    """Return the service that tells subordinate ids, `files` where none is named."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.partition("#")[0].split() for line in file]
    except OSError:
        return "files"
    named = next((words[1:] for words in lines if words and words[0] == "subid:"), [])
    return named[0] if named else "files"


def ask(program: str, user: str, *, groups: bool) -> list[tuple[int, int]]:
    """Return the (start, count) ranges that getsubids(1) tells of a user; none where it knows none or fails."""
    from tweed_shim import subprocesses

    try:
        done = subprocesses.run(
            subprocesses.Command([program, *(["-g"] if groups else []), user], timeout=SECONDS)
        )
    except OSError:
        return []
    if done.code != 0:
        return []
    # INDEX: USER START COUNT
    fields = [
        line.split()[-2:]
        for line in done.output.decode(errors="replace").splitlines()
        if len(line.split()) >= 3
    ]
    return [
        (start, count)
        for start, count in (map(decimal, pair) for pair in fields)
        if start is not None and count is not None
    ]
