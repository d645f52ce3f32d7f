"""Runs what reads strangers' bytes on mutated samples, to find undeclared errors and slow inputs.

`mutate` changes samples, `targets` lists what is run and on which samples, `__main__` runs them.
"""
