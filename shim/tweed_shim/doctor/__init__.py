"""`doctor`: what a run needs of the host, looked at one by one.

checks.py has the table of checks, ids.py those of namespaces and ids, findings.py what they answer, and probes.py what
they try out. Nothing here runs as a part of another command.
"""
