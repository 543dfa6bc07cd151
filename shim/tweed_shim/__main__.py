"""The program `tweed-shim`; `python -m tweed_shim` is the same."""

# The half of `signal` that is in the interpreter: the other half would be imported first, which takes a while.
import _signal as signal  # type: ignore[import-not-found]  # of the interpreter, so typeshed lacks it
import gc


def start() -> None:
    """Be the program. An interrupt that comes before its own handlers are there ends it without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # until all is imported: that makes no garbage, and looking for it takes a twentieth of a warm run
    from tweed_shim.cli.main import program

    program()


if __name__ == "__main__":
    start()
