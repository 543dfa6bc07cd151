"""`doctor`: check one by one what a run needs of the host.

checks.py has the table of checks, ids.py the checks of namespaces and ids, findings.py their context and results, and
probes.py the trials that they carry out. No other command uses this room.
"""
