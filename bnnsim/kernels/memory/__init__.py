"""What happens in a memory: sensing of programmed devices, discs of defects, error-correcting codes.

`sensing` programs and reads every device of a cell, `clusters` marks cells around centres, `error_codes` encodes and
corrects rows of bits. Called by devices and faults.

To add a code: its encode and decode kernels in `error_codes`, its class in faults/error_codes, and a naive one in
tests/naive_codes.py. A distribution of resistance is a kind of `sensing.StateNumbers`, a branch of `ln_resistance`.
"""
