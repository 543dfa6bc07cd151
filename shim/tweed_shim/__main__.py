"""The program `tweed-shim`; `python -m tweed_shim` is the same."""

import gc

from tweed_shim.base.lean import signal

# Objects; importing makes tens of thousands that stay, and looking for garbage among them again and again, as the
# interpreter's 700 have it, takes a twentieth of a warm run.
GARBAGE = 100_000


def start() -> None:
    """Be the program. An interrupt that comes before its own handlers are there ends it without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.set_threshold(GARBAGE)
    from tweed_shim.cli.main import program

    program()


if __name__ == "__main__":
    start()
