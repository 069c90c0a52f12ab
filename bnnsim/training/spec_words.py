"""The short list that names a network, "C64 MP2 C64k5s2 MP3s2p1 FC2048 FC10", word by word.

    C<channels>   a convolution: k kernel (3 x 3), s stride (1), p padding (1), d dilation (1), g groups (1), each one
                  number or rows x columns, as in C64k1x7p0x3; a padding also top x left x bottom x right, "same" or
                  "valid"; what padded positions count: "plus" +1, "minus" -1, "rep" as the border; else 0
    MP<size>      a max-pool behind it: s stride (its size), p padding (0) or "same", "valid"
    FC<units>     a dense layer; the last gives scores
    SUM           behind the last C: its sums over all positions give the scores
"""

import re
from typing import Any

Token = dict[str, Any]

_HEAD = re.compile(r"(FC|C)([0-9]+)|(MP)([0-9]+(?:x[0-9]+)?)|(SUM)")
_PART = re.compile(r"([kspdg])([0-9]+(?:x[0-9]+)*)|(same|valid|rep|plus|minus)")
_NAMES = {"k": "kernel", "s": "stride", "p": "padding", "d": "dilation", "g": "groups"}
_HEADS = {"FC": "units", "C": "channels", "MP": "pool", "SUM": "sum"}
_TAKES = {"channels": {*_NAMES.values(), "pad_value"}, "pool": {"stride", "padding"}, "units": set(), "sum": set()}
_COUNTS = {"kernel": (1, 2), "stride": (1, 2), "dilation": (1, 2), "padding": (1, 2, 4), "groups": (1,)}


def parse_spec(spec: str) -> list[Token]:
    """The words of a spec: a dict each, of "channels", "pool", "units" or "sum" and of the settings that it names.

    One number stands as an int, several as a tuple; pad_value is "replicate", "plus" or "minus".
    """
    if not isinstance(spec, str):
        raise TypeError(f"spec must be a string of words such as 'C64 MP2 FC10', got {spec!r:.80}")
    tokens = [_token(word) for word in spec.split()]
    last = tokens[-1:] and tokens[-1]
    if not last or not ("units" in last or "sum" in last):
        raise ValueError(f"spec must end in FC<classes>, or in C<classes> SUM, got {spec!r}")
    if "pool" in tokens[0] or "sum" in tokens[0]:
        raise ValueError("spec must begin with C or FC: pooling and SUM follow a convolution")
    for before, token in zip(tokens, tokens[1:]):
        if "pool" in token and "channels" not in before:
            raise ValueError(f"MP{token['pool']} must follow a C in {spec!r}")
        if "sum" in token and ("channels" not in before or token is not last):
            raise ValueError(f"SUM must follow the last C and end the spec, got {spec!r}")
    return tokens


def _token(word: str) -> Token:
    head = _HEAD.match(word)
    if head is None:
        raise _unknown(word)
    kind, size = next((head[i], head[i + 1] if i < 5 else "1") for i in (1, 3, 5) if head[i])
    token: Token = {_HEADS[kind]: _numbers(size)}
    at = head.end()
    while at < len(word):
        part = _PART.match(word, at)
        if part is None:
            raise _unknown(word)
        at = part.end()
        name, value = _part(part)
        if name not in _TAKES[_HEADS[kind]] or name in token or part[1] and _count(value) not in _COUNTS[name]:
            raise _unknown(word)
        token[name] = value
    return token


def _part(part: re.Match[str]) -> tuple[str, Any]:
    if part[1]:
        return _NAMES[part[1]], _numbers(part[2])
    if part[3] in ("same", "valid"):
        return "padding", part[3]
    return "pad_value", "replicate" if part[3] == "rep" else part[3]


def _numbers(text: str) -> int | tuple[int, ...]:
    numbers = tuple(int(number) for number in text.split("x"))
    return numbers[0] if len(numbers) == 1 else numbers


def _count(value: int | tuple[int, ...]) -> int:
    return len(value) if isinstance(value, tuple) else 1


def _unknown(word: str) -> ValueError:
    return ValueError(f"spec must be a list of C<channels>, MP<size>, FC<units> and SUM, such as 'C64 MP2 FC2048 FC10' "
                      "(kernel, stride, padding, dilation and groups: C64k5s2p2d1g4, of rows and columns C64k1x7p0x3; "
                      f"C64same, C64rep; MP3s2p1), got {word!r}")
