"""The only compile flags, and a disk cache that cannot serve stale code.

Kernels are compiled serial and without the GIL; `_parallel.split` runs one on slices of its rows in several threads.
One compilation therefore serves both, nothing depends on Numba's threading layer (which may not be entered from two
Python threads at once), and a result cannot depend on the number of threads.

Numba's own cache looks at the one file that a function stands in, so a kernel that calls a changed word operation in
another file would be served stale. Here the stamp is a digest of every kernel source, so an edit anywhere recompiles.
Numba knows a function by its file's name, its own and its line; here the folder counts too.
"""

import functools
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import extending, types
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator
from numba.core.runtime import rtsys
from numba.np import numpy_support

from bnnsim.kernels._pipeline import TRIED, KernelCompiler, OptimisedPartCompiler, PartCompiler

NUMBA: Any = config                 # Numba's settings: it makes their names when it is loaded, unseen by type checkers
JIT_OFF = bool(NUMBA.DISABLE_JIT)
_FLAGS: dict[str, Any] = dict(nogil=True, error_model="numpy", boundscheck=False, fastmath=False, no_cfunc_wrapper=True)
FOLDER = Path(__file__).resolve().parent


@functools.cache
def sources_digest() -> str:
    """Digest of the text of all kernel files, those of sub-folders too."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*.py")):
        digest.update(str(path.relative_to(FOLDER)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:20]


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):                # nameless on Linux: even a kill leaves nothing behind
            return True
    except OSError:
        return False


@functools.cache
def cache_folder() -> Path | None:
    """Where the machine code of all kernels lies, those of sub-folders too; None where no folder is writable.

    The first writable of: NUMBA_CACHE_DIR, __pycache__ beside this file, the user's cache. The first and the last,
    which several installations may share, have a folder of their own for each state of the sources.
    """
    candidates = [FOLDER / "__pycache__"]
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not home.startswith("~"):                                # else: a user without a home, as in some containers
        candidates.append(Path(home) / "bnnsim" / "numba" / sources_digest())
    if NUMBA.CACHE_DIR:
        candidates.insert(0, Path(NUMBA.CACHE_DIR) / "bnnsim" / sources_digest())
    return next((folder for folder in candidates if _is_writable(folder)), None)


class _Locator(_CacheLocator):
    def __init__(self, py_func, py_file):
        self._place = f"{py_func.__module__}-{py_func.__code__.co_firstlineno}"

    def get_cache_path(self):
        return str(cache_folder())

    def get_source_stamp(self):
        return sources_digest()

    def get_disambiguator(self):
        return self._place

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func, py_file)


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes = [_Locator]


class _Index(IndexDataCacheFile):
    """What cannot be read is none: Numba unpickles an index, with names of older kernels, before it compares stamps."""

    def _load_index(self):
        try:
            return super()._load_index()
        except Exception:  # whatever unpickling raises
            return {}


class _KernelCache(FunctionCache):
    _impl_class = _CacheImpl

    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _Index(cache_path=self._cache_path, filename_base=self._impl.filename_base,
                                  source_stamp=self._impl.locator.get_source_stamp())

    def load_overload(self, sig, target_context):
        if numba.version_info.short in TRIED:                   # machine code needs nothing of what compiles others
            found = None
            rtsys.initialize(target_context)
            with self._guard_against_spurious_io_errors():
                found = self._load_overload(sig, target_context)
        else:
            found = super().load_overload(sig, target_context)
        if found is None:
            _say_once()
        return found


@functools.cache
def _say_once() -> None:
    logging.getLogger("bnnsim.kernels").info("compiling kernels for this CPU: some seconds, once; later runs find them")


def _part(function: Callable[..., Any], compiler: type[PartCompiler] = PartCompiler, **flags: bool) -> Any:
    if numba.version_info.short not in TRIED:
        return numba.njit(**dict(_FLAGS, **flags))(function)
    options: dict[str, Any] = dict(_FLAGS, no_cpython_wrapper=True, pipeline_class=compiler, **flags)
    dispatcher: Any = numba.njit(**options)(function)
    dispatcher._insert = lambda *_: None                        # Numba's table of machine code to call from Python
    return dispatcher


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a loop over arrays; cached on disk where a folder is writable, silently uncached elsewhere."""
    if JIT_OFF:
        return np.errstate(over="ignore")(function)             # uint64 arithmetic is meant to wrap
    own: dict[str, Any] = {"pipeline_class": KernelCompiler} if numba.version_info.short in TRIED else {}
    dispatcher = numba.njit(**_FLAGS, **own)(function)
    if cache_folder() is not None:
        dispatcher._cache = _KernelCache(function)
    return dispatcher


def inline(function: Callable[..., Any]) -> Any:
    """Compile a word operation that kernels call; part of their code, with no cache of its own."""
    return _part(function)


def both(function: Callable[..., Any]) -> Any:
    """A rule, of sizes, that kernels follow as well as Python, where it stays a Python function."""
    return extending.register_jitable(error_model="numpy")(function)


def of_type(function: Callable[..., Any]) -> Any:
    """A rule of an array's type alone: in kernels a constant, in Python itself."""
    @extending.type_callable(function)
    def typed(context):
        return lambda array: types.intp

    @extending.lower_builtin(function, types.Array)
    def lowered(context, builder, signature, args):
        kind = numpy_support.as_dtype(signature.args[0].dtype)
        return context.get_constant(types.intp, function(np.empty(0, kind)))

    return function


def always_inline(function: Callable[..., Any]) -> Any:
    """`inline`, where LLVM would rather call, and optimised by itself: draws took a third longer without."""
    return _part(function, OptimisedPartCompiler, forceinline=True)


def leaf(function: Callable[..., Any]) -> Any:
    """`inline` that counts no references: for parts that make no arrays and call none that does.

    Numba counts those to each array that a part is given, which takes 40 ns a call, longer than a row of 64 units does.
    """
    return _part(function, _nrt=False)


def inner(function: Callable[..., Any]) -> Any:
    """`leaf` that becomes a piece of its caller's code: for what runs once a position, where a call's arguments, seven
    words an array, took half of a convolution's dX."""
    return _part(function, _nrt=False, forceinline=True)
