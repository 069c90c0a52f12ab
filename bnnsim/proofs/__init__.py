"""What can be proven of a packed network: certificates, attacks that bound them from above, universal approximation.

Imports training, packed, figures and kernels; nothing but commands imports it.

To add a proof: a module with one public function that returns a result with `table` and `plot`, its name below, its
figure in `figures.proofs`, and a test that compares it with exhaustive search on small networks.
"""

from bnnsim.proofs import certificates, universal
from bnnsim.proofs.attack import breaking_flips
from bnnsim.proofs.certificates import Certificates, certified_flips
from bnnsim.proofs.progressive import ProgressiveFlips, progressive_flips

__all__ = ["Certificates", "ProgressiveFlips", "breaking_flips", "certificates", "certified_flips",
           "progressive_flips", "universal"]
