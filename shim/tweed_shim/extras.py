"""The extras of the package: libraries that need not be installed, and what to say where one is missing."""


def missing(user: str, library: str, extra: str) -> str:
    """Return the sentence for a library that is not installed. user: who needs it; extra: what brings it."""
    return (
        f"{user} needs the Python library {library}, which is not installed: run pip install 'tweed-shim[{extra}]', or "
        f"in a clone pip install '.[{extra}]'"
    )
