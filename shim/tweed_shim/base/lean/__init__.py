"""The parts of standard modules that a warm `exec` needs, without what those modules import.

Each module is called like the one whose part it is, and means the same. To import the real ones (with `re`, `enum` and
all that these need) would take a tenth of the time of a warm run.
"""
