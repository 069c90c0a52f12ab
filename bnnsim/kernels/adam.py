"""Optimizer steps on float32 parameters, in place, one pass over memory; latent weights are clipped to [-1, 1].

All arrays are flat and of one length. `bound` is 1 for latent weights and infinity for batch-norm parameters.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel


@inline
def _clipped(value, bound):
    """Into [-bound, bound], by selects: LLVM vectorises them, and not min and max (for their NaN rules)."""
    value = bound if value > bound else value
    return -bound if value < -bound else value


@kernel
def adam_step(value, gradient, first, second, beta1, beta2, step_size, second_scale, eps, bound, start, stop):
    """Adam (Kingma & Ba 2015, algorithm 1): step_size = lr / (1 - beta1^t), second_scale = 1 / sqrt(1 - beta2^t)."""
    for i in range(start, stop):
        g = gradient[i]
        m = beta1 * first[i] + (np.float32(1) - beta1) * g
        v = beta2 * second[i] + (np.float32(1) - beta2) * g * g
        first[i] = m
        second[i] = v
        value[i] = _clipped(value[i] - step_size * m / (np.sqrt(v) * second_scale + eps), bound)


@kernel
def momentum_step(value, gradient, velocity, momentum, learning_rate, bound, start, stop):
    """velocity = momentum * velocity + gradient; value -= learning_rate * velocity."""
    for i in range(start, stop):
        velocity[i] = momentum * velocity[i] + gradient[i]
        value[i] = _clipped(value[i] - learning_rate * velocity[i], bound)
