"""Forward passes: XNOR-popcount and pixel products, dense and conv, compared with thresholds in registers."""
