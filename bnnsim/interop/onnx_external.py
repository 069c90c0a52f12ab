"""Values of ONNX tensors that lie in files beside the model, as PyTorch's exports have them unless told otherwise.

Such a file is named by whoever wrote the model: only plain names are taken, in the model's own folder, of files that
are no links, pipes or devices. What is read of one is together no more than its size.

References
----------
ONNX, External Data: keys location, offset, length; a checksum is not compared.
"""

import os
import re
import stat
from collections.abc import Mapping

REMEDY = "make one file of the model: onnx.save(onnx.load('model.onnx'), 'one.onnx')"


class ExternalData:
    """Files beside a model, and how many of their bytes were read."""

    def __init__(self, model: str) -> None:
        self.folder, self.left = os.path.dirname(model), dict[str, int]()

    def read(self, name: str, entries: Mapping[str, str], n_bytes: int) -> bytes:
        """So many bytes of a tensor, from where its entries say."""
        what, location = f"ONNX: {name[:60]} has its values in another file", entries.get("location", "")
        if not re.fullmatch(r"[^/\\:\0]{1,255}", location) or location in (".", ".."):
            raise ValueError(f"{what}, {location[:100]!r}, which is no plain name in the model's own folder; {REMEDY}")
        numbers = [entries.get(key, default) for key, default in (("offset", "0"), ("length", str(n_bytes)))]
        if not all(re.fullmatch("[0-9]{1,15}", number) for number in numbers):
            raise ValueError(f"{what}, {location}, at offset {numbers[0][:30]!r} with length {numbers[1][:30]!r}")
        offset, length = map(int, numbers)
        size = self._size(what, location)
        if length != n_bytes or offset + length > size or length > self.left.setdefault(location, size):
            raise ValueError(f"{what}: {location} has {size:,} bytes, of which {length:,} from {offset:,} on would be "
                             f"it, and it needs {n_bytes:,} (each byte belongs to one tensor)")
        self.left[location] -= length
        path = os.path.join(self.folder, location)
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
            file.seek(offset)
            found = file.read(length)
        if len(found) != length:
            raise ValueError(f"{what}: {location} became shorter while it was read")
        return found

    def _size(self, what: str, location: str) -> int:
        """Of a file, which must be one."""
        try:
            found = os.lstat(os.path.join(self.folder, location))
        except OSError as error:
            raise ValueError(f"{what}, {location}, which cannot be read ({error.strerror}): it belongs beside the "
                             "model") from None
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{what}, {location}, which is a link or no file at all: copy the file itself beside the "
                             f"model, or {REMEDY}")
        return found.st_size
