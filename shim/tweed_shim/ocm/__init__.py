"""Component versions of the Open Component Model: descriptors, repositories, access methods, transfer, signatures.

It reads content from archives and from servers, and runs nothing: no module here imports `runtime` or a contract.
"""
