"""How fast divfast is here, beside its peers, on the same input in the same run.

A case says what is done, on how much, by whom, and within what tolerance all must agree; `divfast.throughput.harness`
runs it. Right first: where values differ, no time is reported. ``divfast bench`` and ``bench/run.py`` show the rows.
"""
