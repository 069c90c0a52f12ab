"""Batch norm and sign, forward and backward.

`batchnorm` has the one float expression of a unit's output that training, evaluation and thresholds share, and its
kernels; `batchnorm_tiles` does 16 units at once; `pseudo_gradient` is what stands in for the derivative of the sign.
Called by training, packed, and analysis/.

To add a pseudo-gradient: a branch of `through_sign` and of `through_sign_lanes`, operation by operation the same; its
class in training/estimators; its definition in tests/naive.py.
"""
