"""Operations that some CPUs do faster: tiles of explicit vector code, and a plain twin of them that runs everywhere.

    @twin_of(Tile(_madd16_vnni, needs=("avx512vnni",)))
    def madd16_tile(a, a_off, ..., out, o_off):
        '''What the operation does.'''
        ...                                                     # the plain twin

leaves in `madd16_tile` what kernels call: the first of the tiles whose features the CPU has, else the twin, compiled,
and with NUMBA_DISABLE_JIT=1 the twin itself. All of them give the same bytes: tests/kernels/test_twins.py holds every
tile that the CPU can run against its twin, and fails for an operation without a row of arguments there.

A tile without needs is LLVM's to lower and runs on every CPU. Beside one, a twin is never compiled, and may use what
Numba does not know.
"""

import ctypes
import functools
import importlib
import pkgutil
import platform
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import binding

from bnnsim.kernels._jit import FOLDER, JIT_OFF, NUMBA, inline


# What LLVM compiles for without being told: it does not name it on every system.
BASELINE = {"neon"} if platform.machine().lower() in ("aarch64", "arm64") else set()


@functools.cache
def _may_use_matrices() -> bool:
    """Whether Linux lets this process, and those that it forks, use the registers of AMX: it wants to be asked."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64" or sys.maxsize < 2**32:
        return False
    arch_prctl, get, request, tile_data = map(ctypes.c_long, (158, 0x1022, 0x1023, 18))    # ARCH_REQ_XCOMP_PERM ...
    call, permitted = ctypes.CDLL(None).syscall, ctypes.c_uint64(0)
    call(arch_prctl, request, tile_data)
    return call(arch_prctl, get, ctypes.byref(permitted)) == 0 and bool(permitted.value >> tile_data.value & 1)


@functools.cache
def target_has(feature: str) -> bool:
    """Whether Numba compiles for a CPU with `feature`: this one, unless NUMBA_CPU_NAME and the like say otherwise."""
    if feature in BASELINE:
        return True
    if NUMBA.CPU_FEATURES is not None:
        has = f"+{feature}" in NUMBA.CPU_FEATURES.split(",")
    else:
        refused = feature.startswith("avx") and not NUMBA.ENABLE_AVX
        has = not refused and binding.get_host_cpu_features().get(feature, False)
    return has and (not feature.startswith("amx") or _may_use_matrices())


class Tile(NamedTuple):
    """One fast form of an operation: an intrinsic, and the CPU's features that it needs, as LLVM names them."""

    code: Callable[..., Any]
    needs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(self.needs) or "any CPU"

    @property
    def runs_here(self) -> bool:
        """Whether the CPU that Numba compiles for has all that it needs."""
        return all(map(target_has, self.needs))


class Operation(NamedTuple):
    """An operation's forms: its tiles, the preferred first, its plain twin, and the tile in use, None for the twin."""

    tiles: tuple[Tile, ...]
    plain: Callable[..., Any]
    in_use: Tile | None

    @property
    def compiles_twin(self) -> bool:
        """Whether there are CPUs that run the twin, compiled."""
        return all(tile.needs for tile in self.tiles)


_OPERATIONS: dict[str, Operation] = {}


def twin_of(*tiles: Tile) -> Callable[[Callable[..., Any]], Any]:
    """Register a plain twin with its tiles, the preferred first, and put in its place what kernels are to call."""
    def choose(plain: Callable[..., Any]) -> Any:
        in_use = None if JIT_OFF else next((tile for tile in tiles if tile.runs_here), None)
        place = plain.__module__.removeprefix("bnnsim.kernels.")
        _OPERATIONS[f"{place}.{plain.__name__}"] = Operation(tiles, plain, in_use)
        return in_use.code if in_use else inline(plain)

    return choose


def registered() -> dict[str, Operation]:
    """Every operation by its place, "gradients.lookup_tile.build_tables"; imports all kernels to know of all."""
    for module in pkgutil.walk_packages([str(FOLDER)], "bnnsim.kernels."):
        importlib.import_module(module.name)
    return dict(sorted(_OPERATIONS.items()))
