"""Float32 maps between binary layers: channel by channel, convolutions and pools, forward and backward.

Every result is a fixed sequence of float32 operations, rounded one by one: each sum has one order, which neither the
number of threads nor the width of a CPU's vectors changes, and no product is fused with an addition. So bits agree on
every CPU. What lies in a padding is left out of a sum, not added as zero.

To add an operation: its kernel here, the class around it in `bnnsim.packed.operations`, and the layer that trains it in
bnnsim/training/layers.
"""
