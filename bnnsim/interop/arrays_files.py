"""Files that hold arrays by name and nothing else: npz, safetensors, C headers, `$readmemb` and `$readmemh` text."""

import os
import re
from collections.abc import Iterable

import numpy as np

from bnnsim.checks import FilePath, real_of
from bnnsim.files.json_text import parse_json
from bnnsim.interop.bounded import MAX_MEMBERS, Zip, array, bfloat16, check_plain, check_shape, read_bytes
from bnnsim.interop.packed_words import Digits

Arrays = dict[str, np.ndarray]

MAX_TEXT = 2**28                    # bytes of a text
MAX_WORDS = 2**20                   # of a memory text: its lines
BASES = {".memb": 2, ".memh": 16, ".hex": 16}               # of digits, by names
MAX_HEADER = 2**21                  # bytes of JSON, whose values take up to thirty times as much
C_NUMBERS = {"char", "short", "int", "long", "signed", "unsigned", "float", "double", "bool", "_Bool"}
PIECE = 2**20                       # letters of C that are split into words at a time
MAX_VALUES = 2**27                  # of an array that is written as text
SAFETENSORS = {"F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U8": "u1",
               "U16": "u2", "U32": "u4", "U64": "u8", "BOOL": "b1"}


_NPY = re.compile(r"\{'descr': '([^']{0,20})', 'fortran_order': (True|False), 'shape': \(([\d, ]{0,200})\), ?\}\s*")


# ---------------------------------------------------------------- binary

def read_npz(path: FilePath) -> Arrays:
    """Arrays of an .npz file; of Python objects, which are pickles, none."""
    check_plain(path)
    with open(path, "rb") as file:
        members = Zip(file)
        return {name.removesuffix(".npy"): read_npy(name, members.read(name)) for name in members.members}


def read_npy(name: str, data: bytes) -> np.ndarray:
    """An array of the .npy format."""
    if data[:6] != b"\x93NUMPY" or len(data) < 10 or data[6] not in (1, 2, 3):
        raise ValueError(f"{name} is no .npy array")
    start, size = (10, data[8:10]) if data[6] == 1 else (12, data[8:12])
    end = start + int.from_bytes(size, "little")
    if end > len(data) or end > 10_000:
        raise ValueError(f"{name}: the header of its .npy array is {end - start} bytes long")
    header = _NPY.fullmatch(data[start:end].decode("latin-1"))
    if header is None:
        raise ValueError(f"{name}: the header of its .npy array cannot be read")
    code, fortran = header[1], header[2] == "True"
    if not re.fullmatch(r"[<>|=]?([iu][1248]|f[248]|b1)", code):
        what = "Python objects, which only a pickle could restore" if "O" in code else f"{code[:50]!r} values"
        raise ValueError(f"{name}: wanted an array of numbers, got one of {what}")
    shape: tuple[int, ...] = tuple(int(size) for size in re.findall(r"\d{1,18}", header[3]))
    dtype = np.dtype(code)
    shape = check_shape(name, shape, len(data) - end, dtype.itemsize)
    found = np.frombuffer(data, dtype, offset=end).astype(dtype.newbyteorder("="), copy=False)
    return found.reshape(shape[::-1]).T if fortran else found.reshape(shape)


def read_safetensors(path: FilePath) -> Arrays:
    """Arrays of a .safetensors file, by the numbers in their names: its writers sort them, not as layers stand."""
    data = memoryview(read_bytes(path))
    n = int.from_bytes(data[:8], "little") if len(data) >= 8 else -1
    if not 2 <= n <= min(len(data) - 8, MAX_HEADER):
        raise ValueError(f"no safetensors file: its header would have {n} bytes, in a file of {len(data)}")
    try:
        header = parse_json(bytes(data[8:8 + n]).decode())
    except ValueError as error:
        raise ValueError(f"the header of the safetensors file is no JSON: {str(error)[:200]}") from None
    if not isinstance(header, dict) or len(header) > MAX_MEMBERS:
        raise ValueError(f"the header of the safetensors file is no object of at most {MAX_MEMBERS:,} arrays")
    found, body = [], data[8 + n:]
    for name, entry in header.items():
        if name != "__metadata__":
            found.append(_tensor(name, entry, body))
    return dict(sorted(found, key=lambda item: numbered(item[0])))


def numbered(name: str) -> list[str | int]:
    """What names are sorted by: the numbers in them as numbers, fc10 behind fc2."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]{1,9})", name))]


def _tensor(name: str, entry: object, body: memoryview) -> tuple[str, np.ndarray]:
    """Its name, and it."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name}: wanted dtype, shape and data_offsets, got {str(entry)[:100]}")
    code, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(shape, list) or not isinstance(place, list) or len(place) != 2 or \
            any(type(n) is not int for n in place) or not 0 <= place[0] <= place[1] <= len(body):
        raise ValueError(f"{name} lies at {str(place)[:50]}, in {len(body)} bytes of values")
    part = body[place[0]:place[1]]
    if code == "BF16":
        return name, bfloat16(name, part, shape)
    if not isinstance(code, str) or code not in SAFETENSORS:
        raise ValueError(f"{name}: values of type {str(code)[:50]!r} are not known")
    return name, array(name, part, np.dtype(SAFETENSORS[code]), shape)


# ---------------------------------------------------------------- text

def read_memory_texts(paths: Iterable[FilePath]) -> tuple[Arrays, dict[str, Digits]]:
    """Arrays of `$readmemb` and `$readmemh` files, by the files' names: bits uint8 (words, width), and their digits."""
    arrays, texts = Arrays(), dict[str, Digits]()
    for path in paths:
        name = os.path.splitext(os.path.basename(os.fspath(path)))[0]
        if name in arrays:
            raise ValueError(f"two of the files are called {name}: names of arrays must differ")
        arrays[name], texts[name] = read_memory_text(path)
    if texts and all(text.note for text in texts.values()):     # of a layer its weights first
        names = sorted(arrays, key=lambda name: numbered(name.replace(".weight", ".")))
        arrays = {name: arrays[name] for name in names}
    return arrays, texts


def read_memory_text(path: FilePath) -> tuple[np.ndarray, Digits]:
    """The words of a file of binary or hexadecimal digits, as bits uint8 (words, width), the first digit first."""
    text = _text(path)
    ours = _OURS.match(text)
    note, text = ours[1] if ours else "", _without_comments(text)
    if sum(map(text.count, " \t\n\r\v\f\x1c\x1d\x1e\x1f")) > MAX_WORDS:
        raise ValueError(f"more than {MAX_WORDS:,} words")
    words = text.replace("_", "").split()
    if words and words[0].startswith("@"):
        if words[0].strip("@0"):
            raise ValueError(f"words from address {words[0][:20]} on are not read: all must be there, from 0")
        words = words[1:]
    widths = {len(word) for word in words}
    if len(widths) != 1 or not re.fullmatch(r"[0-9a-fA-F]+", "".join(words)):
        raise ValueError("wanted words of binary or hexadecimal digits, all of one length, got lengths of "
                         f"{sorted(widths)[:5]}, or other letters (x and z are no bits)")
    digits = np.frombuffer("".join(words).lower().encode(), np.uint8).reshape(len(words), -1)
    of_bits = bool(np.all((digits == ord("0")) | (digits == ord("1"))))
    told = 16 if note else BASES.get(os.path.splitext(os.fspath(path))[1].lower())
    if told == 2 and not of_bits:
        raise ValueError(f"{os.fspath(path)} has digits other than 0 and 1, and by its name none but these")
    if told == 16 or not of_bits:
        values = np.where(digits >= ord("a"), digits - (ord("a") - 10), digits - ord("0")).astype(np.uint8)
        return np.unpackbits(values[:, :, None], axis=2)[:, :, 4:].reshape(len(words), -1), Digits(16, True, note)
    return digits - np.uint8(ord("0")), Digits(2, told == 2)


def _text(path: FilePath) -> str:
    try:
        return read_bytes(path, MAX_TEXT).decode("ascii")
    except UnicodeDecodeError:
        raise ValueError("wanted a text, got bytes that are no ASCII") from None


def _without_comments(text: str) -> str:
    kept, at = [], 0
    while match := _COMMENT.search(text, at):
        kept.append(text[at:match.start()])
        at = text.find("\n" if match[0] == "//" else "*/", match.end())
        if at < 0 and match[0] == "/*":
            raise ValueError("a comment has no end")
        at = len(text) if at < 0 else at + (0 if match[0] == "//" else 2)
    return " ".join([*kept, text[at:]])


_OURS = re.compile(r"// (\d{1,9} (?:units|least|classes)[ :].{0,200}|(?:factor|term) of .{0,200})\n")
_COMMENT = re.compile(r"//|/\*")
_C_ARRAY = re.compile(r"([A-Za-z_]\w{0,99})\s{0,20}((?:\[[^\]\[]{0,100}\]\s{0,20}){1,8})=\s{0,20}\{")
_C_MACRO = re.compile(r"\bU?INT(?:8|16|32|64)_C ?\((-?\w{1,40})\)")
_NOT_DECIMAL = re.compile(r"[A-Za-z_.]|\b0[0-9]")      # an octal, a hexadecimal, a float, a suffix
_C_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+([A-Za-z_]\w*)[ \t]+\(?(\d{1,9})\)?[ \t]*$", re.MULTILINE)


def read_c_header(path: FilePath) -> Arrays:
    """Arrays of numbers that a C header or source defines; sizes are numbers, #defines, or left out."""
    text = _without_comments(_text(path))
    sizes = {name: int(number) for name, number in _C_DEFINE.findall(text)}
    found: Arrays = {}
    at = 0
    while match := _C_ARRAY.search(text, at):
        end = text.find(";", match.end())
        end = len(text) if end < 0 else end
        kind = re.split("[;{}()\\n]", text[max(at, match.start() - 100):match.start()])[-1]
        if _of_structs(kind, text, match.end(), end):
            found[match[1]] = np.zeros(0)           # no numbers: whoever wants it is told so, by its shape
        else:
            found[match[1]] = _c_values(match[1], re.findall(r"\[([^\]]*)\]", match[2]), text[match.end():end], sizes,
                                        _c_type(kind))
        at = end
        if len(found) > MAX_MEMBERS:
            raise ValueError(f"more than {MAX_MEMBERS:,} arrays")
    if not found:
        raise ValueError("there is no array of numbers: name[2][3] = {...}")
    return found


def _of_structs(kind: str, text: str, start: int, end: int) -> bool:
    """Whether an array is of a type that is none of numbers, and holds names, such as a table of layers does."""
    words = re.findall(r"[A-Za-z_]\w*", kind)
    return bool(words) and words[-1] not in C_NUMBERS and _c_type(kind) is None and \
        re.compile(r"(?<![\w.])[A-Za-z_.]").search(text, start, end) is not None


def _c_type(kind: str) -> np.dtype | None:
    """What a declaration says of an array's integers, where their size is the same on all machines."""
    words = set(re.findall(r"[A-Za-z_]\w*", kind))
    fixed = re.search(r"\b(?:(u?)int|(u))(8|16|32|64)(?:_t)?\b|\bap_(u?)int\s*<\s*(8|16|32|64)\s*>", kind)
    if fixed:
        return np.dtype(f"{'u' if fixed[1] or fixed[2] or fixed[4] else 'i'}{int(fixed[3] or fixed[5]) // 8}")
    if "unsigned" not in words or ("long" in words and not re.search(r"long\s+long", kind)):
        return np.dtype("i4") if "int" in words and not words & {"long", "short"} else None
    return np.dtype("u8" if "long" in words else "u2" if "short" in words else "u1" if "char" in words else "u4")


def _c_values(name: str, axes: list[str], body: str, sizes: dict[str, int], kind: np.dtype | None) -> np.ndarray:
    if "INT" in body:
        body = _C_MACRO.sub(r"\1", body)
    values = _c_numbers(name, body.translate(str.maketrans("{},", "   ")), kind)
    shape: list[int] = []
    for axis in axes:
        word = axis.strip()
        size = sizes.get(word, int(word) if re.fullmatch(r"\d{1,9}", word) else 0 if not word and not shape else -1)
        if size < 0:
            raise ValueError(f"{name}: the size {word[:40]!r} is neither a number nor a #define of one")
        shape.append(size)
    if shape[0] == 0:
        inner = int(np.prod(shape[1:], dtype=np.float64)) or 1
        shape[0] = len(values) // inner
    if float(np.prod(shape, dtype=np.float64)) != len(values):
        raise ValueError(f"{name} has {len(values)} values, its sizes are {shape}")
    return values.reshape(shape)


def _c_numbers(name: str, text: str, kind: np.dtype | None) -> np.ndarray:
    """Numbers between white space, of a declared type if they fit into it, or int64 or float64.

    A piece of the text at a time, as words take much memory.
    """
    whole = np.dtype(np.uint64 if kind == np.uint64 and "-" not in text else np.int64)
    least, most = int(np.iinfo(whole).min), int(np.iinfo(whole).max)
    pieces, at, n_values = [np.zeros(0, whole)], 0, 0
    while at < len(text):
        space = re.compile(r"\s").search(text, min(at + PIECE, len(text)))
        end = space.start() if space else len(text)
        words = text[at:end].split()
        n_values += len(words)
        if n_values > MAX_VALUES or max(map(len, words), default=0) > 60:
            raise ValueError(f"{name} has more than {MAX_VALUES:,} values, or one of more than 60 letters")
        try:
            values = list(map(_number if _NOT_DECIMAL.search(text, at, end) else int, words))
        except ValueError:
            raise ValueError(f"{name} must hold numbers alone, got {' '.join(words)[:60]!r}") from None
        are_whole = all(isinstance(value, int) for value in values)
        if are_whole and values and not least <= min(values) <= max(values) <= most:
            raise ValueError(f"{name} holds integers over 63 bits: if they are packed words, declare it as uint64_t")
        pieces.append(np.array(values, whole if are_whole else np.float64))
        at = end
    found = np.concatenate(pieces)
    if kind is None or found.dtype != whole or not found.size or \
            not np.iinfo(kind).min <= found.min() <= found.max() <= np.iinfo(kind).max:
        return found
    return found.astype(kind)


def _number(word: str) -> int | float:
    """A literal of C: decimal, octal, hexadecimal, or a float."""
    match = re.fullmatch(r"([+-]?)(?:0[xX]([0-9a-fA-F]{1,40})|(0[0-7]{0,40})|([1-9][0-9]{0,40}))[uUlL]{0,3}", word)
    if match is None:
        return real_of(word.rstrip("fF"))
    base, digits = next((base, part) for base, part in zip((16, 8, 10), match.groups()[1:]) if part is not None)
    return int(match[1] + digits, base)


def has_arrays(values: Arrays) -> Arrays:
    """Arrays that are some, and not too many."""
    if not 0 < len(values) <= MAX_MEMBERS:
        raise ValueError(f"wanted 1 to {MAX_MEMBERS:,} arrays, got {len(values)}")
    return values


def is_text(data: bytes) -> bool:
    """Whether the beginning of a file is ASCII text."""
    return bool(data) and not re.search(rb"[^\t\n\r\x20-\x7e]", data)
