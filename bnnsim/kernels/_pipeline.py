"""How kernels and their parts are compiled: Numba's way, without what takes long and serves other code.

A cold start is Numba's, which makes LLVM's code, and LLVM's, which makes machine code of it, half and half. What
kernels call, a *part*, is joined to its kernel as it leaves Numba: LLVM optimises it there once, not by itself and in
each part that calls it as well, and makes neither machine code of it alone nor a wrapper to call it from Python by.

Of Numba's passes those are left out that look for what kernels have not: closures, generators, `with`, expressions of
whole arrays. While types are found all code has one of two sets of flags, as Numba finds types of `+` anew for each.
Cyclic garbage stays until a kernel is compiled: looking for it took a tenth.
"""

import contextlib
import functools
import gc
from collections.abc import Iterator
from typing import Any

import numba
from numba.core import typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, Flags
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.targetconfig import ConfigStack

TRIED = {(0, 68)}                   # Numba's versions whose inner workings are known here; others start slower
_NEEDLESS = {
    untyped_passes.WithLifting, untyped_passes.InlineClosureLikes, untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune, untyped_passes.RewriteDynamicRaises, untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.InlineInlinables, untyped_passes.FindLiterallyCalls, untyped_passes.LiteralUnroll,
    untyped_passes.LiteralPropagationSubPipelinePass, typed_passes.InlineOverloads, typed_passes.NopythonRewrites,
    typed_passes.NoPythonSupportedFeatureValidation, typed_passes.DumpParforDiagnostics}


@contextlib.contextmanager
def _no_searches_for_garbage() -> Iterator[None]:
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Inherited(Flags):
    """Flags that are themselves alone, which is told at once."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


@functools.cache
def _inherited(counts_references: bool) -> Flags:
    """What parts, and Numba's own functions, take over from who calls them."""
    flags: Any = _Inherited()
    flags.nrt, flags.error_model, flags.forceinline = counts_references, "numpy", False
    return flags


@register_pass(mutates_CFG=True, analysis_only=False)
class _TypeInference(typed_passes.NopythonTypeInference):
    _name = "bnnsim_type_inference"

    def run_pass(self, state):
        with ConfigStack().enter(_inherited(state.flags.nrt)):
            return super().run_pass(state)


class _PartLibrary(JITCodeLibrary):
    """LLVM's code of a part, as it is linked into a kernel's."""

    def _finalize_final_module(self):
        self._finalized = True


class _RawLibrary(_PartLibrary):
    """The same as it leaves Numba."""

    def _optimize_final_module(self):
        pass


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(typed_passes.NativeLowering):
    _name = "bnnsim_part_lowering"

    def run_pass(self, state):
        state.library = state.pipeline.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        alone = numba.njit(nogil=True, error_model="numpy")(state.func_id.func)     # for calls from Python; Numba finds
        state.targetctx.insert_user_function(alone, state.cr.fndesc, [state.library])               # the code by it
        state.reload_init.extend(state.library._reload_init)
        state.cr = state.cr._replace(cfunc=alone)
        return True


class KernelCompiler(CompilerBase):
    """Of a kernel."""

    own: dict[Any, Any] = {typed_passes.NopythonTypeInference: _TypeInference}

    def compile_extra(self, func):
        """Compile a Python function."""
        with _no_searches_for_garbage():
            return super().compile_extra(func)

    def define_pipelines(self):
        """The passes, in order."""
        passes = PassManager("bnnsim")
        for kind, why in DefaultPassBuilder.define_nopython_pipeline(self.state).passes:
            if kind not in _NEEDLESS:
                passes.add_pass(self.own.get(kind, kind), why)
        passes.finalize()
        return [passes]


class PartCompiler(KernelCompiler):
    """Of a part."""

    library: type[_PartLibrary] = _RawLibrary
    own = KernelCompiler.own | {typed_passes.NativeLowering: _PartLowering}


class OptimisedPartCompiler(PartCompiler):
    """Of a part that LLVM optimises by itself, too."""

    library = _PartLibrary
