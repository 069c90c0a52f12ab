"""What `bnnsim.bench` measures: kernels, networks, processes, and a peer in turns with bnnsim. Checked, then timed.

`sizes` says how much, `timing` how, `reference` what results are held against. Imports anything below the commands;
only `bnnsim.bench` and docs/make_performance.py import it.

To add a measurement: a generator of `timing.Measurement` in the file of its kind, which checks the result against
NumPy before it times it, its section in `bnnsim.bench.SECTIONS`, and in tests/benchmarks a wrong result that it finds.
"""

__all__: list[str] = []
