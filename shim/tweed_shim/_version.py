"""The version of tweed-shim, for all that names it."""

VERSION = "0.1.0"
