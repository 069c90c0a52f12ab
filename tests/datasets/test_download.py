"""Downloading, from a server on this machine: only the official content is stored, and under its name."""

import gzip
import hashlib
import http.server
import io
import os
import tarfile
import threading
import tracemalloc

import numpy as np
import pytest
from small_files import IDX_NAMES, cifar_binary, forget_all_copies, from_source, idx_bytes, idx_files, put_idx

import bnnsim.datasets.downloading as downloading
import bnnsim.datasets.find as find
import bnnsim.download as download
from bnnsim.datasets.catalogue import Source
from bnnsim.datasets.find import EmbeddedSubsetWarning, load_dataset


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    forget_all_copies(monkeypatch, tmp_path)


class Server:
    """Serves a dict of {path: bytes}; a value of None never answers, an int is sent as that status."""

    def __init__(self):
        self.files, self.asked, self.release = {}, [], threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                content = outer.files.get(self.path, 404)
                if content is None:
                    outer.release.wait(20)
                    content = 404
                if isinstance(content, int):
                    self.send_error(content)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.release.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def tiny_fashion(server, monkeypatch):
    """The server has a tiny "official" Fashion-MNIST, and the library knows its sums."""
    contents = idx_files()
    server.files = {f"/{name}": gzip.compress(content, mtime=0) for name, content in contents.items()}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    from_source(monkeypatch, "fashion", Source((server.address,), sums))
    return server


@pytest.fixture
def tiny_cifar(server, monkeypatch):
    """Publish an archive made of (member, content) pairs as the official CIFAR-10."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    contents = {name: cifar_binary(i) for i, name in enumerate(names)}

    def publish(members, archive=None):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for member, content in members:
                member.size = len(content) if member.isreg() else 0
                tar.addfile(member, io.BytesIO(content))
        archive = buffer.getvalue() if archive is None else archive
        server.files["/cifar.tar.gz"] = archive
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        from_source(monkeypatch, "cifar10", Source(
            (server.address,), sums, "cifar.tar.gz", hashlib.sha256(archive).hexdigest(), "batches"))

    return publish, [(tarfile.TarInfo(f"batches/{name}"), content) for name, content in contents.items()]


@pytest.mark.parametrize("offline", [None, "", "0"])
def test_what_is_nowhere_is_downloaded_once_and_then_found(offline, tiny_fashion, tmp_path, monkeypatch):
    """BNNSIM_OFFLINE= and =0 forbid nothing."""
    monkeypatch.delenv("BNNSIM_OFFLINE")
    if offline is not None:
        monkeypatch.setenv("BNNSIM_OFFLINE", offline)
    train, test = load_dataset("fashion")
    assert (len(train), len(test), train.origin) == (20, 10, str(tmp_path / "cache/bnnsim/fashion"))
    assert sorted(os.listdir(train.origin)) == sorted(IDX_NAMES), "no temporary file is left"
    load_dataset("fashion")
    assert len(tiny_fashion.asked) == 4


def test_a_download_fetches_only_what_is_missing_and_overwrites_nothing(tiny_fashion, tmp_path):
    folder = downloading.download_dataset("fashion", tmp_path / "mine", [tiny_fashion.address])
    assert folder == tmp_path / "mine" / "fashion"
    (folder / IDX_NAMES[2]).unlink()
    tiny_fashion.asked.clear()
    downloading.download_dataset("fashion", tmp_path / "mine")
    assert tiny_fashion.asked == ["/" + IDX_NAMES[2]]
    own = gzip.compress(idx_bytes(np.zeros(20, np.uint8)), mtime=0)
    (folder / IDX_NAMES[1]).write_bytes(own)
    with pytest.raises(ValueError, match="move it away and download again"):
        downloading.download_dataset("fashion", tmp_path / "mine")
    assert (folder / IDX_NAMES[1]).read_bytes() == own
    (folder / IDX_NAMES[1]).rename(tmp_path / "away")                                 # as the message says
    downloading.download_dataset("fashion", tmp_path / "mine")
    assert len(load_dataset("fashion", folder=tmp_path / "mine")[0]) == 20 and (tmp_path / "away").read_bytes() == own


@pytest.mark.parametrize("where", ["", "fashion"])
def test_a_damaged_file_of_the_user_s_is_moved_away_not_deleted(tiny_fashion, tmp_path, where):
    """The remedy, followed to the letter, gives the data set, and the user's file is still there."""
    mine = put_idx(tmp_path / "mine" / where)
    (mine / IDX_NAMES[0]).write_bytes(b"my own")
    with pytest.raises(ValueError, match="move the file away and run python -m bnnsim.download") as caught:
        load_dataset("fashion", folder=tmp_path / "mine")
    (mine / IDX_NAMES[0]).rename(tmp_path / "away")
    for name in IDX_NAMES[1:] if where else ():                 # the tiny official files are not these
        (mine / name).rename(tmp_path / name)
    words = str(caught.value).split("python -m bnnsim.download ")[1].split()
    assert download.main(words) == 0
    assert len(load_dataset("fashion", folder=tmp_path / "mine")[0]) == 20
    assert (tmp_path / "away").read_bytes() == b"my own"


def test_a_second_address_helps_where_the_first_does_not(tiny_fashion, tmp_path):
    addresses = [tiny_fashion.address + "gone/", "http://127.0.0.1:9/", tiny_fashion.address]
    folder = downloading.download_dataset("fashion", tmp_path, addresses)
    assert len(load_dataset("fashion", folder=folder)[0]) == 20


@pytest.mark.parametrize("content, reason", [
    (gzip.compress(idx_files(seed=1)[IDX_NAMES[0]], mtime=0), "wanted content of SHA-256"),
    (b"<html>Please log in</html>", "got 3c 68 74 6d"),
    (gzip.compress(idx_files()[IDX_NAMES[0]], mtime=0)[:-100], "truncated"),
    (404, "404"),
    (500, "500"),
])
def test_what_is_not_the_official_content_is_never_stored(tiny_fashion, tmp_path, content, reason):
    tiny_fashion.files["/" + IDX_NAMES[0]] = content
    with pytest.raises(downloading.DownloadError, match=reason):
        downloading.download_dataset("fashion", tmp_path)
    assert not (tmp_path / "fashion").exists()


def test_more_than_the_largest_file_is_not_stored(tiny_fashion, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "MAX_BYTES", 1000)
    with pytest.raises(downloading.DownloadError, match="at most 1000 bytes"):
        downloading.download_dataset("fashion", tmp_path)


def test_without_an_answer_fashion_comes_embedded_and_says_so(tiny_fashion, monkeypatch):
    monkeypatch.delenv("BNNSIM_OFFLINE")
    monkeypatch.setattr(find, "_CONNECT_SECONDS", 0.3)
    tiny_fashion.files["/" + IDX_NAMES[0]] = None
    with pytest.warns(EmbeddedSubsetWarning, match="no answer within 0.3 s") as caught:
        train, _ = load_dataset("fashion")
    assert caught[0].filename == __file__, "the warning points to the caller's line"
    assert (train.name, train.origin) == ("fashion-subset-train", "embedded subset")


def test_cifar10_comes_out_of_its_archive(tiny_cifar, server, tmp_path, monkeypatch):
    publish, members = tiny_cifar
    other = [(tarfile.TarInfo("batches/readme.html"), b"hello"), (tarfile.TarInfo("../../escaped"), b"out")]
    publish(other + members)
    monkeypatch.delenv("BNNSIM_OFFLINE")
    train, test = load_dataset("cifar10")
    assert (len(train), len(test)) == (15, 3)
    assert len(os.listdir(train.origin)) == 6, "only the expected members are taken"
    assert not (tmp_path / "escaped").exists() and server.asked == ["/cifar.tar.gz"]


def _link(kind):
    member = tarfile.TarInfo("batches/test_batch.bin")
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize("change, message", [
    (lambda members: members[:-1] + [(_link(tarfile.SYMTYPE), b"")], "a plain file"),
    (lambda members: members[:-1] + [(_link(tarfile.LNKTYPE), b"")], "a plain file"),
    (lambda members: members[:-1] + [(members[-1][0], bytes(3072))], "test_batch.bin with SHA-256"),
    (lambda members: members[:-1] + [(members[-1][0], bytes(3073))], "test_batch.bin with SHA-256"),
    (lambda members: members[:-1], "test_batch.bin in the archive, got none"),
])
def test_an_archive_with_other_members_is_refused(tiny_cifar, tmp_path, change, message):
    publish, members = tiny_cifar
    publish(change(members))
    with pytest.raises(downloading.DownloadError, match=message):
        downloading.download_dataset("cifar10", tmp_path)
    assert not (tmp_path / "cifar10" / "test_batch.bin").exists()


def test_a_damaged_archive_is_refused(tiny_cifar, tmp_path):
    publish, _ = tiny_cifar
    publish([], archive=b"\x1f\x8bnot an archive")
    with pytest.raises(downloading.DownloadError, match="damaged"):
        downloading.download_dataset("cifar10", tmp_path)


@pytest.mark.parametrize("call, error, message", [
    (lambda: downloading.download_dataset("svhn"), ValueError, "name must be one of"),
    (lambda: downloading.download_dataset("mnist", addresses="http://x"), TypeError, "one string"),
    (lambda: downloading.download_dataset("mnist", addresses=["file:///etc"]), ValueError, "http://"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_command_line_downloads_and_says_where(tiny_fashion, tmp_path, capsys):
    assert download.main(["fashion", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"fashion: 4 files in {tmp_path / 'fashion'}, SHA-256 checked\n"


@pytest.mark.parametrize("arguments, code, message", [
    ([], 2, "NAME must be given: one of fashion"),
    (["fasion"], 2, "did you mean 'fashion'"),
    (["fashion", "--speed", "9"], 2, "unrecognized arguments"),
    (["fashion", "--folder", __file__], 2, __file__),
    (["fashion"], 1, "fashion could not be downloaded: http://127.0.0.1"),
])
def test_the_command_line_answers_bad_input_with_one_line(tiny_fashion, capsys, arguments, code, message):
    tiny_fashion.files.clear()
    with pytest.raises(SystemExit) as caught:
        download.main(arguments)
    errors = capsys.readouterr().err
    assert caught.value.code == code and errors.count("\n") == 1 and message in errors


def archive_of(path, members):
    """A tar.gz of (name, type, size), each of zeros, compressed in pieces."""
    megabyte, content = gzip.compress(bytes(1 << 20)), b""
    for name, kind, size in members:
        member = tarfile.TarInfo(name)
        member.type, member.size = kind, size
        content += gzip.compress(member.tobuf(tarfile.PAX_FORMAT)) + (size >> 20) * megabyte
        content += gzip.compress(bytes(size % (1 << 20) + -size % 512))
    path.write_bytes(content + gzip.compress(bytes(1024)))
    return path


@pytest.mark.parametrize("members, message", [
    ([("batches/a.bin", tarfile.REGTYPE, 1 << 30)], "batches/a.bin to be a plain file of at most 33554432 bytes"),
    ([("batches/b.bin", tarfile.REGTYPE, (1 << 30) + 512)], "archive of at most 1073741824 bytes once decompressed"),
    ([("batches/a.bin", tarfile.XHDTYPE, 1 << 28)], "at most 262144 bytes in a header of the archive, got 268435456"),
    ([("batches/a.bin", tarfile.GNUTYPE_LONGNAME, 1 << 28)], "at most 262144 bytes in a header of the archive"),
    ([("batches/a.bin", tarfile.REGTYPE, 30_730_000)], "wanted a.bin with SHA-256")])
def test_an_archive_takes_no_memory_for_what_it_announces(tmp_path, members, message):
    """1 to 5 MB that inflate to 1 GB: a member, one that is not wanted, a header; CIFAR-10's own is read in pieces."""
    archive = archive_of(tmp_path / "bomb.tar.gz", members)
    source = Source((), {"a.bin": "0" * 64}, "bomb.tar.gz", "", "batches")
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        downloading._extract(str(archive), tmp_path, source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6 and not list(tmp_path.glob("*.bin*"))
