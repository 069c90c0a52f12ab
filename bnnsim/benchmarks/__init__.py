"""What `bnnsim.bench` measures: kernels, networks, processes, and a peer in turns with bnnsim. Checked, then timed."""
