"""Limits to what a CPU has: this process and those that it starts compute as on a CPU with fewer instructions.

Each library takes its limit from an environment variable, which it reads when it is loaded. Intel's MKL
need not heed its own: on the AMD EPYC at hand PyTorch's float32 matrix product had the same 210 to 220 GFLOP/s (two
threads) on all instructions, avx2 and generic, so the peer's figure stands in each row.
"""

import os
import sys

_X86_V3 = "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+cx16,+64bit"
ISAS = {
    "avx2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": _X86_V3, "ATEN_CPU_CAPABILITY": "avx2",
             "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "TORCHINDUCTOR_CPP_MARCH": "haswell"},
    "generic": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "ATEN_CPU_CAPABILITY": "default",
                "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
                "TORCHINDUCTOR_CPP_MARCH": "x86-64-v2"}}


def limit(isa: str) -> None:
    """Limit Numba here, and PyTorch's libraries in processes to come; ValueError where Numba is loaded already."""
    if "numba" in sys.modules:
        raise ValueError(f"isa {isa!r} must be set before Numba is loaded: start python -m bnnsim.bench by itself")
    os.environ.update(ISAS[isa])
