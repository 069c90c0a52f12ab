"""Backward passes and updates: gradients of 16 bits or float32, pooling, optimizer steps.

`dense`, `conv`, `conv_dx` and `first_layer` are the products, by `lookup_tile` (whose tables are of four gradients or
of five, by the CPU: `four_lookup`, `five_lookup`) or, of pixels, `multiply_add_tile`; where tables are of four,
`pooled_conv` is a convolution's behind a max-pool, by `chosen_lookup`. Where the CPU multiplies matrices of bytes,
`matrix_conv` is a convolution's, by `byte_tile`. `fixed_point` rounds gradients to 16 bits,
`pool` is max-pooling both ways, `penalty` pushes pre-activations from their thresholds, `optimizer_steps` are the
updates. Called by training.

To add an optimizer: a step over flat float32 arrays in `optimizer_steps`, each number's own, so that threads cannot
change a bit; its class in training/optimizers; its naive step in tests/naive.py. To add a tile: see kernels/forward.
"""
