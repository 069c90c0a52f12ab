"""Batch norm and sign, forward and backward."""
