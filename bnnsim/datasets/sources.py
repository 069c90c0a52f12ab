"""Where data sets come from: official addresses, SHA-256 sums, a download that stores only what has them.

A file is written beside its target under another name, flushed, compared with its SHA-256, and only then
renamed: a download that fails leaves nothing, and what is not the official content never gets its name. Sums
are of the content (the decompressed IDX file, the batch in CIFAR's archive): a recompressed copy
passes.
"""

import hashlib
import logging
import os
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

import bnnsim.files.atomic as atomic
from bnnsim.checks import check_choice
from bnnsim.datasets.readers import CIFAR_RECORD_BYTES, idx_sha256, read_idx

MAX_BYTES = 1 << 28             # of one download; the largest official one has 170 MB
READ_SECONDS = 30.0             # without a byte, once a server has answered


class DownloadError(OSError):
    """No address gave the official content; the message has the reason of each."""

    exit_code = 1                   # of a command line: the input was good, the network was not


@dataclass(frozen=True)
class Source:
    """Addresses to try in turn, and the SHA-256 of each file's content."""

    addresses: tuple[str, ...]
    sha256: dict[str, str]
    archive: str | None = None                  # files that come in one archive: its name, its SHA-256,
    archive_sha256: str | None = None
    archive_folder: str = ""                    # and the folder they are in


# Where these sums were read.
# Fashion: computed from Debian's dataset-fashion-mnist; the same sums stand for the official files in three
# independent public projects (a Rust crate, a Makefile, a loader that first compared the README's MD5 sums).
# MNIST: a public downloader has them beside the .gz sums of tensorflow/datasets, url_checksums/mnist.txt; a
# Makefile has those of the labels and the test images too.
# CIFAR-10: the archive's in tensorflow/datasets, url_checksums/cifar10.txt; the batches' in torchvision for
# Ruby, that of test_batch.bin in two more projects.
SOURCES = {
    "fashion": Source(("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",), {
        "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}),
    "mnist": Source(("https://ossci-datasets.s3.amazonaws.com/mnist/",
                     "https://storage.googleapis.com/cvdf-datasets/mnist/"), {
        "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"}),
    "cifar10": Source(("https://www.cs.toronto.edu/~kriz/",), {
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"},
        "cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        "cifar-10-batches-bin"),
}


def cache_folder(name):
    """The user's own place for a data set: $XDG_CACHE_HOME/bnnsim/<name>, usually under ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path(os.path.expanduser("~/.cache"))) / "bnnsim" / name


def download_dataset(name, folder=None, addresses=None, connect_seconds=30.0):
    """Download what is missing of a data set, check it, and return the folder that holds it.

    Parameters
    ----------
    name : {"fashion", "mnist", "cifar10"}
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
    source = SOURCES[check_choice("name", name, SOURCES)]
    addresses = _checked_addresses(source.addresses if addresses is None else addresses)
    target = cache_folder(name) if folder is None else Path(folder).expanduser() / name
    target.mkdir(parents=True, exist_ok=True)
    missing = [file for file in source.sha256 if not _is_official(target / file, source.sha256[file])]
    if missing and source.archive:
        _fetch(addresses, source.archive, connect_seconds, target, source.archive_sha256,
               lambda part: _extract(part, target, source))
    elif missing:
        for file in missing:
            _fetch(addresses, file, connect_seconds, target, source.sha256[file],
                   lambda part, file=file: os.replace(part, target / file))
    return target


def _checked_addresses(addresses):
    if isinstance(addresses, str):
        raise TypeError(f"addresses must be a sequence of strings, got one string; pass [{addresses!r}]")
    for address in addresses:
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"an address must start with http:// or https://, got {address!r}")
    return tuple(addresses)


def _is_official(path, sha256):
    """Whether the file is there; one of that name that is another is an error: it may be the user's own."""
    if not path.exists():
        return False
    try:
        right = _content_sha256(path, path.name) == sha256
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"{path}: wanted the official file, SHA-256 {sha256[:16]}..., got another or a "
                         "damaged one; move or delete it and download again")
    return True


def _content_sha256(path, name):
    if "-ubyte" in name:
        return idx_sha256(read_idx(path, 3 if "idx3" in name else 1))
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(addresses, file, connect_seconds, folder, sha256, store):
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


def _sync(stream):
    stream.flush()
    os.fsync(stream.fileno())


def _copy_from(url, path, connect_seconds):
    from tqdm import tqdm  # here: only who downloads needs it

    with _answer(url, connect_seconds) as response, open(path, "wb") as stream:
        n_announced = response.headers.get("Content-Length", "")
        n_announced = int(n_announced) if n_announced.isdecimal() else None
        n_bytes = 0
        title = url.rsplit("/", 1)[1]
        with tqdm(total=n_announced, unit="B", unit_scale=True, desc=title, disable=None) as bar:
            while block := response.read(1 << 18):
                n_bytes += len(block)
                if n_bytes > MAX_BYTES:
                    raise ValueError(f"wanted at most {MAX_BYTES} bytes, got more")
                stream.write(block)
                bar.update(len(block))
        _sync(stream)
    if n_announced not in (None, n_bytes):
        raise ValueError(f"wanted the {n_announced} bytes that the server announced, got {n_bytes}")


def _answer(url, connect_seconds):
    """Open an address; TimeoutError if it has not answered in time.

    urllib's own timeout does not cover the name look-up, which may hang for a minute without a network: so
    the address is opened in a thread that can be left behind.
    """
    import urllib.error  # here: with the next, 40 ms, and only who downloads needs it
    import urllib.request

    lock, given_up, result = threading.Lock(), [], []

    def open_url():
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


def _extract(archive, folder, source):
    """Take the expected files out of a checked tar.gz: plain files of whole records, nothing else."""
    import tarfile

    wanted = {f"{source.archive_folder}/{name}": name for name in source.sha256}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = wanted.pop(member.name, None)
                if name is not None:
                    _store_member(_member_bytes(tar, member), folder, name, source.sha256[name])
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"wanted a whole tar.gz archive, got a damaged one ({error})") from error
    if wanted:
        raise ValueError(f"wanted {', '.join(wanted)} in the archive, got none")


def _member_bytes(tar, member):
    plain = member.isreg() and not member.issparse()
    if not plain or member.size % CIFAR_RECORD_BYTES or member.size > MAX_BYTES:
        raise ValueError(f"wanted {member.name} to be a plain file of whole records, got type "
                         f"{member.type!r} and {member.size} bytes")
    return tar.extractfile(member).read(member.size)


def _store_member(content, folder, name, sha256):
    came = hashlib.sha256(content).hexdigest()
    if came != sha256:
        raise ValueError(f"wanted {name} with SHA-256 {sha256[:16]}..., got {came[:16]}...")
    with atomic.part(folder / name) as path:
        with open(path, "wb") as stream:
            stream.write(content)
            _sync(stream)
        os.replace(path, folder / name)
