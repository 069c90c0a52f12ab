"""Random small networks whose convolutions have any geometry, few enough weights a unit to try all of their flips."""

import naive_geometry as geometry
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from bnnsim.packed.network import PackedNetwork

MOST_WEIGHTS = 8                    # of a unit of a convolution
ENDS = ("dense", "thresholds", "conv")


def pair(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def convolutions(draw, height, width, channels):
    """(fields without weights, (K, kh, kw, n_in), (rows, columns) after pooling) of a layer on such a map."""
    groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    kernel, n_in = draw(pair(1, 3)), channels // groups
    assume(kernel[0] * kernel[1] * n_in <= MOST_WEIGHTS)
    fields = {"groups": groups, "stride": draw(pair(1, 2)), "dilation": draw(pair(1, 2)),
              "padding": tuple(draw(st.integers(0, 2)) for _ in range(4)), "pool": draw(pair(1, 3)),
              "pool_stride": draw(pair(1, 3))}
    fields |= {"replicate": True} if draw(st.booleans()) else {"pad_value": draw(st.integers(-1, 1))}
    fields["pool_padding"] = tuple(draw(st.integers(0, k - 1)) for k in fields["pool"] * 2)
    sides, pool_sides = fields["padding"], fields["pool_padding"]
    out = [len(geometry.places(size, kernel[a], fields["stride"][a], fields["dilation"][a], sides[a], sides[a + 2]))
           for a, size in enumerate((height, width))]
    pooled = [len(geometry.places(size, fields["pool"][a], fields["pool_stride"][a], 1, pool_sides[a],
                                  pool_sides[a + 2])) for a, size in enumerate(out)]
    assume(min(out) >= 1 and min(pooled) >= 1 and pooled[0] * pooled[1] <= 12)
    return fields, (groups * draw(st.integers(1, 2)), *kernel, n_in), tuple(pooled)


@st.composite
def networks(draw, ends=ENDS):
    """(PackedNetwork of one or two hidden convolutions and perhaps a dense layer, three images)."""
    rng, channels = np.random.default_rng(draw(st.integers(0, 2**20))), draw(st.integers(1, 4))
    shape = height, width = draw(pair(1, 5))
    layers, seen = [], channels
    for i in range(draw(st.integers(1, 2))):
        fields, sizes, shape = draw(convolutions(*shape, seen))
        weight, seen, reach = rng.choice([-1, 1], sizes), sizes[0], 3 if i else 150
        layers.append({**fields, "weight": weight, "order": "HWC", "threshold": rng.integers(-reach, reach, seen),
                       "inverted": rng.random(seen) < 0.4})
    end = draw(st.sampled_from(ends))
    if end != "conv" and draw(st.booleans()):
        features, seen, shape = shape[0] * shape[1] * seen, 3, (1, 1)
        layers.append({"weight": rng.choice([-1, 1], (3, features)), "threshold": rng.integers(-2, 3, 3)})
    if end == "conv":
        fields, (_, *kernel), _ = draw(convolutions(*shape, seen))
        last = {name: fields[name] for name in fields if not name.startswith("pool")}
        last |= {"weight": rng.choice([-1, 1], (3 * last["groups"], *kernel)), "order": "HWC"}
    else:
        last = {"weight": rng.choice([-1, 1], (3, shape[0] * shape[1] * seen))}
    if end == "thresholds":
        last |= {"threshold": rng.integers(-2, 3, 3), "inverted": rng.random(3) < 0.5}
    images = rng.integers(0, 256, (3, channels, height, width), np.uint8)
    return PackedNetwork.from_arrays([*layers, last], images.shape[1:], int(rng.choice([0, 100]))), images
