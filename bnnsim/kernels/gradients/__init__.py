"""Backward passes and updates: 16-bit gradients by table lookup, pooling, optimizer steps."""
