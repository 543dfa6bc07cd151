"""What to say where a limit of the process (getrlimit(2)) is reached, which whoever set it can raise."""

import resource


def memory() -> str:
    """What happened and what to do where no memory is left, as the end of a sentence."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return "no memory is left on this host; free some, and run it again"
    return f"no memory is left of the {limit >> 10} KiB that are allowed; allow more ('ulimit -v')"


def open_files() -> str:
    """What happened and what to do where no descriptor is left, likewise."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return f"no more than {limit} files can be open at a time; allow more of them ('ulimit -n')"


def has_memory_limit() -> bool:
    """Say whether the process has a limit of memory."""
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
