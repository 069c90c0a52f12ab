"""How pixels enter a network: what it computes with is pixel * scale + shift, which becomes pixel - offset.

The same clean classes come out of any offset, as what is left over folds into the thresholds; but a wrong weight acts
where its input is not 0, so the offset decides how tolerant a network is. It is the pixel that the network sees as 0.
"""

from dataclasses import dataclass, replace

import numpy as np

from bnnsim.checks import check_choice, check_images, check_int, check_real

CODES = {"pixels": (1.0, 0.0), "unit": (1 / 255, 0.0), "centred": (2 / 255, -1.0), "binary": (1.0, -1.0)}
Input = str | tuple[float, float]


@dataclass(frozen=True)
class Code:
    """How pixels enter.

    scale, shift : of what the network computes with; `settled` makes it (pixel - offset) * scale + rest
    level : the least pixel that is +1, where the network itself makes signs of its input
    said : whether somebody said what the network reads
    """

    scale: float
    shift: float
    binary: bool = False
    level: int | None = None
    offset: int = 0
    rest: float = 0.0
    said: bool = True

    def binarized(self, a: float, c: float, at_zero: int, name: str) -> "Code":
        """The code where the network takes the sign of pixel * a + c."""
        if not self.said:
            raise ValueError(f"{name}: the network takes signs of its input, and what it reads is not known: say "
                             "input='unit' (pixels / 255), 'centred' (-1 to 1), 'pixels', or 'binary' (+-1 already)")
        pixels = np.array([0.0, 2.0]) if self.binary else np.arange(256.0)
        values = pixels * a + c
        if at_zero == 0 and np.any(values == 0):
            raise ValueError(f"{name}: the sign of 0 is 0 here, and pixel {pixels[values == 0][0]:g} becomes 0, which "
                             "is no bit")
        positive = values >= 0 if at_zero == 1 else values > 0
        if positive.all() or not positive.any() or not positive[-1]:
            raise ValueError(f"{name}: the sign of the input is {'+1' if positive[-1] else '-1'} for the brightest "
                             f"pixel and {'+1' if positive[0] else '-1'} for the darkest: if the network takes pixels "
                             "/ 255 say input='unit', if it takes -1 to 1, input='centred'")
        level = None if self.binary else int(pixels[positive][0])
        return Code(1.0, -1.0, True, level)

    def settled(self, a: float, c: float) -> "Code":
        """The offset of what is pixel * a + c to the first layer."""
        zero = -c / a
        offset = int(np.clip(np.rint(zero), 0, 255))
        rest = 0.0 if abs(zero - offset) < 1e-6 else a * offset + c
        return replace(self, scale=a, shift=c, offset=offset, rest=rest)

    def pad(self, name: str, value: float) -> tuple[int, str]:
        """(What a padding is in pixel levels after the offset, why it is none)."""
        level = (value - self.rest) / self.scale
        if level in (-1.0, 0.0, 1.0):
            return int(level), ""
        return 0, (f"{name} pads with {value:g}, which is pixel {self.offset + level:g}: this is no pixel, or more "
                   "than one level off the offset")

    def __str__(self) -> str:
        if self.level is not None:
            return (f"binary: pixels from {self.level} up are +1, so images enter as "
                    f"bnnsim.interop.binary_images(images, {self.level})")
        return "binary: pixels 0 (-1) and 2 (+1)" if self.binary else f"pixel - {self.offset}"


def code_of(given: Input | None) -> Code:
    """The code of a word, or of (mean, standard deviation) of pixels / 255; None: pixels, unless it matters."""
    if given is None:
        return Code(*CODES["pixels"], said=False)
    if isinstance(given, (tuple, list)):
        if len(given) != 2:
            raise ValueError(f"input must be one of {', '.join(CODES)}, or (mean, standard deviation), got {given!r}")
        mean, deviation = check_real("input[0]", given[0], -1e6, 1e6), check_real("input[1]", given[1], 1e-6, 1e6)
        return Code(1 / (255 * deviation), -mean / deviation)
    return Code(*CODES[check_choice("input", given, CODES)], binary=given == "binary")


def binary_images(images: np.ndarray, level: int = 128) -> np.ndarray:
    """Images for a network with binary input: pixel 2, which is +1, from a level up; else 0, which is -1.

    Parameters
    ----------
    images : uint8 (N, C, H, W)
    level : int
        1..255.

    Returns
    -------
    uint8 (N, C, H, W)

    Examples
    --------
    >>> binary_images(np.array([[[[0, 127, 128, 255]]]], np.uint8)).tolist()
    [[[[0, 0, 2, 2]]]]
    """
    return np.where(check_images(images) >= check_int("level", level, 1, 255), np.uint8(2), np.uint8(0))
