"""Rates that may differ from layer to layer, and the layers that have errors at all."""

from bnnsim.checks import check_int, check_probability


def clean_rate(name, value):
    """A probability, or a tuple of one a layer."""
    if isinstance(value, (list, tuple)):
        return tuple(check_probability(f"{name}[{i}]", p) for i, p in enumerate(value))
    return check_probability(name, value)


def clean_layers(layers):
    """A tuple of layer numbers; None is all of them."""
    return None if layers is None else tuple(check_int("layers", i, 0) for i in layers)


def chosen(layers, n_layers):
    """The numbers of the layers that are meant."""
    if layers is None:
        return range(n_layers)
    if max(layers, default=0) >= n_layers:
        raise ValueError(f"layers must be in 0..{n_layers - 1}, got {layers}")
    return layers


def spread_rate(name, rate, layers, n_layers):
    """One rate a layer; 0 where a layer is not among `layers`."""
    rates = rate if isinstance(rate, tuple) else (rate,) * n_layers
    if len(rates) != n_layers:
        raise ValueError(f"{name} must be one probability or {n_layers}, one for each layer, got {len(rates)}")
    meant = chosen(layers, n_layers)
    return tuple(p if i in meant else 0.0 for i, p in enumerate(rates))


def in_proportion(total, first, second):
    """Two rates, or two tuples of rates, scaled so that the largest sum of a pair is `total`."""
    if not isinstance(first, tuple) and not isinstance(second, tuple):
        whole = first + second
        return (total * (first / whole), total * (second / whole)) if whole else (total / 2, total / 2)
    n = len(first if isinstance(first, tuple) else second)
    pairs = list(zip(*(one if isinstance(one, tuple) else (one,) * n for one in (first, second)), strict=True))
    whole = max(map(sum, pairs), default=0)
    scaled = [(total * (a / whole), total * (b / whole)) if whole else (total / 2, total / 2) for a, b in pairs]
    return tuple(tuple(column) for column in zip(*scaled))


def check_shares(p_zero, p_one):
    """No cell is stuck at both: the shares add up to 1 at most, in each layer."""
    n = max(len(p) if isinstance(p, tuple) else 1 for p in (p_zero, p_one))
    zeros, ones = (p if isinstance(p, tuple) else (p,) * n for p in (p_zero, p_one))
    if len(zeros) != len(ones):
        raise ValueError(f"p_zero and p_one must be for as many layers, got {len(zeros)} and {len(ones)}")
    for zero, one in zip(zeros, ones):
        if zero + one > 1 + 1e-12:                              # 0.7 + 0.3 may be a rounding above
            raise ValueError("p_zero + p_one must be at most 1, as no cell is stuck at both, got "
                             f"{zero:g} + {one:g} = {zero + one:g}")
