"""Packed words themselves: packing and panels, runs of bits, transposes, random bit errors.

The lowest of the kernels: the other folders build on it, packed and faults call it. `packing` is between +-1 values,
words and the panels that tiles read; `bit_fields` bits that do not start where words do; `random_bits` the draws;
`vector_words` operations on 64 values at once.

To add a kernel: `@kernel` in the file of its kind, a function around it in packed/words, and a naive loop in
tests/naive.py for tests/kernels to compare with.
"""
