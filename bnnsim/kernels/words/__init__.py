"""Packed words themselves: packing, bit fields, transposes, random masks."""
