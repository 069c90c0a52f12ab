"""A campaign on a Dask cluster: two worker processes of its own, or a running cluster by its address.

    python examples/cluster_sweep.py
    python examples/cluster_sweep.py --address tcp://scheduler:8786 --network cnn.h5 --trials 100 --out cnn_sweep.h5
    python examples/cluster_sweep.py --resume                       # goes on where a killed run stopped

It needs the extra: pip install 'bnnsim[dask]'. A worker that dies costs the batches it had in hand, about a second's
work; Dask gives them to another. If this process is killed, the finished cells are in <out>.journal. However often a
campaign was killed and resumed, on however many workers: the arrays and the content checksum are the same.

With MPI instead of Dask, replace the client by an executor of mpi4py (pip install mpi4py)

    from mpi4py.futures import MPIPoolExecutor

    if __name__ == "__main__":
        with MPIPoolExecutor() as executor:
            bnnsim.sweep(network, test, rates, trials, rng=0, executor=executor, workers=8, out="sweep.h5", resume=True)

and start it as  mpiexec -n 9 python -m mpi4py.futures my_campaign.py : one process collects, eight work.
"""

import argparse

from distributed import Client

import bnnsim
from bnnsim.commands.scripts import count, new_file, run

RATES = [0, 1e-3, 3e-3, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--address", help="of a running Dask scheduler (default: start two worker processes here)")
    parser.add_argument("--network", metavar="FILE", help="default: the FCNN that comes with bnnsim")
    parser.add_argument("--images", type=count, help="only the first IMAGES of the 2,000 embedded test images")
    parser.add_argument("--trials", type=count, default=20, help="chips a BER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from --out and its journal")
    parser.add_argument("--out", type=new_file, default="cluster_sweep.h5", help="results file")
    return parser.parse_args()


def connect(address: str | None) -> Client:
    """A client of a running cluster, or of two worker processes with one thread each, which end with it."""
    if address:
        return Client(address)
    return Client(n_workers=2, threads_per_worker=1, dashboard_address=":0")           # any free port


def main() -> None:
    options = arguments()
    test = bnnsim.load_dataset("fashion-subset")[1]
    test = test[:options.images]
    network = bnnsim.load_network(options.network or "fashion_fcnn")

    with connect(options.address) as client:
        print(f"{len(client.nthreads())} workers")
        result = bnnsim.sweep(network, test, RATES, options.trials, rng=options.seed, executor=client.get_executor(),
                              out=options.out, resume=options.resume)

    print(f"{test.name}, {len(test):,} images, {options.trials} chips a BER, seed {result.seed}")
    print(result.table())
    result.plot(options.out.with_suffix(".png"))
    print(f"results in {options.out}, content checksum {result.checksum[:16]}..., figure in "
          f"{options.out.with_suffix('.png')}")


if __name__ == "__main__":
    run(main)
