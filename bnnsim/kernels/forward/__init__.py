"""Forward passes to output bits or integer pre-activations: dense and conv layers, on packed words and on pixels.

`dense` and `conv` are the passes, `xnor_tile` and `pixel_tile` what their time goes into (`nibble_tile` and
`narrow_pixel_tile` on CPUs without AVX-512, `tile_parts` what all have in common), `geometry` the sizes of a
convolution, `corrected_first_layer` what a sweep does where few weights flipped.
Called by packed/forward and packed/clean_pass, which lay operands out.

To add a tile: a `Tile` with its needs in the list of its operation, before those that are slower; tests/kernels then
hold it against the plain twin. An operation of a new kind needs a twin too, and its row in tests/kernels/test_twins.py.
"""
