"""Fetches a data set's official files, and stores only what has their SHA-256 sums.

A file is written beside its target under another name, flushed, compared with its SHA-256, and only then
renamed: a download that fails leaves nothing, and what is not the official content never gets its name. Sums
are of the content (the decompressed IDX file, the batch in CIFAR's archive): a recompressed copy
passes.
"""

import contextlib
import gzip
import hashlib
import logging
import os
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import bnnsim.files.atomic as atomic
from bnnsim.checks import FilePath, check_choice
from bnnsim.datasets.catalogue import CATALOGUE, Source
from bnnsim.datasets.readers import idx_sha256, read_idx
from bnnsim.progress_bars import progress_bar

if TYPE_CHECKING:
    import tarfile
    from http.client import HTTPResponse

MAX_BYTES = 1 << 28             # of one download; the largest official one has 170 MB
PIECE = 1 << 18                 # bytes read at a time
MAX_MEMBER = 1 << 25            # of one file in an archive; CIFAR-10's have 31 MB
MAX_INFLATED = 1 << 30          # of an archive; CIFAR-10's has 184 MB
READ_SECONDS = 30.0             # without a byte, once a server has answered


class DownloadError(OSError):
    """No address gave the official content; the message has the reason of each."""

    exit_code = 1                   # of a command line: the input was good, the network was not


def downloadable() -> dict[str, Source]:
    """The data sets that have an official address, by name."""
    return {name: known.source for name, known in CATALOGUE.items() if known.source is not None}


def cache_folder(name: str) -> Path:
    """The user's own place for a data set: $XDG_CACHE_HOME/bnnsim/<name>, usually under ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path(os.path.expanduser("~/.cache"))) / "bnnsim" / name


def download_dataset(name: str, folder: FilePath | None = None, addresses: Sequence[str] | None = None,
                     connect_seconds: float = 30.0) -> Path:
    """Download what is missing of a data set, check it, and return the folder that holds it.

    Parameters
    ----------
    name : str
        One of `downloadable`: "fashion", "mnist", "cifar10".
    folder : str or os.PathLike, optional
        The files go into ``folder/name``; the user's cache otherwise.
    addresses : sequence of str, optional
        http or https addresses to try in turn, in place of the official ones.
    connect_seconds : float
        How long one address may take to answer.

    Returns
    -------
    folder : Path

    Raises
    ------
    DownloadError
        If no address gives a file whose SHA-256 is right.
    ValueError
        If a file of that name is there already and is not the official one.
    """
    source = downloadable()[check_choice("name", name, downloadable())]
    addresses = _checked_addresses(source.addresses if addresses is None else addresses)
    target = cache_folder(name) if folder is None else Path(folder).expanduser() / name
    made = not target.exists()
    target.mkdir(parents=True, exist_ok=True)
    try:
        _fetch_missing(source, addresses, target, connect_seconds)
    except BaseException:
        with contextlib.suppress(OSError):                       # of a file in it, which stays
            if made:
                target.rmdir()
        raise
    return target


def _fetch_missing(source: Source, addresses: Sequence[str], target: Path, connect_seconds: float) -> None:
    missing = [file for file in source.sha256 if not _is_official(target / file, source.sha256[file])]
    if missing and source.archive:
        _fetch(addresses, source.archive, connect_seconds, target, source.archive_sha256,
               lambda part: _extract(part, target, source))
    elif missing:
        for file in missing:
            _fetch(addresses, file, connect_seconds, target, source.sha256[file],
                   lambda part: os.replace(part, target / file))                   # called at once: `file` is this one


def _checked_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    if isinstance(addresses, str):
        raise TypeError(f"addresses must be a sequence of strings, got one string; pass [{addresses!r}]")
    for address in addresses:
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"an address must start with http:// or https://, got {address!r}")
    return tuple(addresses)


def _is_official(path: Path, sha256: str) -> bool:
    """Whether the file is there; one of that name that is another is an error: it may be the user's own."""
    if not path.exists():
        return False
    try:
        right = _content_sha256(path, path.name) == sha256
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"{path}: wanted the official file, SHA-256 {sha256[:16]}..., got another or a "
                         "damaged one; move it away and download again")
    return True


def _content_sha256(path: FilePath, name: str) -> str:
    if "-ubyte" in name:
        return idx_sha256(read_idx(path, 3 if "idx3" in name else 1))
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(addresses: Sequence[str], file: str, connect_seconds: float, folder: Path, sha256: str,
           store: Callable[[str], None]) -> None:
    """Get one file from the first address that has the right one, and hand its path to `store`."""
    reasons = []
    for address in addresses:
        url = address.rstrip("/") + "/" + file
        try:
            with atomic.part(folder / file) as path:
                _copy_from(url, path, connect_seconds)
                came = _content_sha256(path, file)
                if came != sha256:
                    raise ValueError(f"wanted content of SHA-256 {sha256[:16]}..., got {came[:16]}...")
                store(path)
            return
        except (OSError, ValueError) as error:      # no network, no space, or not the file it should be
            reasons.append(f"{url}: {error}")
            logging.getLogger("bnnsim").info("download failed: %s", reasons[-1])
    raise DownloadError("; ".join(reasons))


def _sync(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _copy_from(url: str, path: str, connect_seconds: float) -> None:
    with _answer(url, connect_seconds) as response, open(path, "wb") as stream:
        length = response.headers.get("Content-Length", "")
        n_announced = int(length) if length.isdecimal() else None
        n_bytes = 0
        title = url.rsplit("/", 1)[1]
        with progress_bar(total=n_announced, unit="B", unit_scale=True, desc=title, disable=None) as bar:
            while block := response.read(PIECE):
                n_bytes += len(block)
                if n_bytes > MAX_BYTES:
                    raise ValueError(f"wanted at most {MAX_BYTES} bytes, got more")
                stream.write(block)
                bar.update(len(block))
        _sync(stream)
    if n_announced not in (None, n_bytes):
        raise ValueError(f"wanted the {n_announced} bytes that the server announced, got {n_bytes}")


def _answer(url: str, connect_seconds: float) -> "HTTPResponse":
    """Open an address; TimeoutError if it has not answered in time.

    urllib's own timeout does not cover the name look-up, which may hang for a minute without a network: so
    the address is opened in a thread that can be left behind.
    """
    import urllib.error  # here: with the next, 40 ms, and only who downloads needs it
    import urllib.request

    lock = threading.Lock()
    given_up: list[bool] = []
    result: list[HTTPResponse | Exception] = []

    def open_url() -> None:
        answer: HTTPResponse | Exception
        try:
            answer = urllib.request.urlopen(url, timeout=READ_SECONDS)
        except Exception as error:                  # noqa: BLE001  raised again in the caller's thread
            answer = error
            if isinstance(error, urllib.error.HTTPError):
                error.close()
        with lock:
            result.append(answer)
            if given_up and not isinstance(answer, Exception):
                answer.close()

    thread = threading.Thread(target=open_url, daemon=True)
    thread.start()
    thread.join(connect_seconds)
    with lock:
        if not result:
            given_up.append(True)
            raise TimeoutError(f"no answer within {connect_seconds:g} s")
    if isinstance(result[0], Exception):
        raise result[0] if isinstance(result[0], OSError) else OSError(str(result[0])) from result[0]
    return result[0]


class _Inflated(gzip.GzipFile):
    """What a tar.gz archive inflates to: never much at a time, and not without end.

    `tarfile` reads a member's long name or extended header, whose size the archive says, at once.
    """

    def read(self, size: int | None = -1) -> bytes:
        """Some bytes; ValueError where too many are asked for."""
        if size is None or not 0 <= size <= PIECE:
            raise ValueError(f"wanted at most {PIECE} bytes in a header of the archive, got {size}")
        self._check_end(self.tell() + size)
        return super().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go there; ValueError where it is too far."""
        self._check_end(offset)
        return super().seek(offset, whence)

    def _check_end(self, position: int) -> None:
        if position > MAX_INFLATED:
            raise ValueError(f"wanted an archive of at most {MAX_INFLATED} bytes once decompressed, got more")


def _extract(archive: str, folder: Path, source: Source) -> None:
    """Take the expected files out of a checked tar.gz: plain files, nothing else."""
    import tarfile

    wanted = {f"{source.archive_folder}/{name}": name for name in source.sha256}
    try:
        with _Inflated(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                name = wanted.pop(member.name, None)
                if name is not None:
                    _store_member(_member(tar, member), folder, name, source.sha256[name])
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"wanted a whole tar.gz archive, got a damaged one ({error})") from error
    if wanted:
        raise ValueError(f"wanted {', '.join(wanted)} in the archive, got none")


def _member(tar: "tarfile.TarFile", member: "tarfile.TarInfo") -> IO[bytes]:
    plain = member.isreg() and not member.issparse() and member.size <= MAX_MEMBER
    content = tar.extractfile(member) if plain else None
    if content is None:
        raise ValueError(f"wanted {member.name} to be a plain file of at most {MAX_MEMBER} bytes, got type "
                         f"{member.type!r} and {member.size} bytes")
    return content


def _store_member(content: IO[bytes], folder: Path, name: str, sha256: str) -> None:
    digest = hashlib.sha256()
    with atomic.part(folder / name) as path:
        with open(path, "wb") as stream:
            while piece := content.read(PIECE):
                digest.update(piece)
                stream.write(piece)
            _sync(stream)
        if digest.hexdigest() != sha256:
            raise ValueError(f"wanted {name} with SHA-256 {sha256[:16]}..., got {digest.hexdigest()[:16]}...")
        os.replace(path, folder / name)
