"""Memory cells: sensing of programmed devices, clusters of defects, error-correcting codes."""
