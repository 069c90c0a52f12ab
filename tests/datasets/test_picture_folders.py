"""Folders of pictures: what becomes of them, and what is refused, by name."""

import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import bnnsim.datasets.picture_folders as picture_folders
from bnnsim.datasets import load_dataset

RNG = np.random.default_rng(0)


def put(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def pixels(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Five pictures of each of two classes, of 6 x 7 in colour; `.pixels` of each by name."""
    for name in ("owl", "Bat"):
        for i in range(5):
            put(tmp_path / "pets" / name / f"{i}.png", pixels(6, 7, 3))
    return tmp_path / "pets"


def test_classes_are_the_sorted_names_of_folders(folder):
    (folder / ".DS_Store").write_bytes(b"x")
    train, test = load_dataset(folder)
    assert (train.name, test.name, len(train), len(test)) == ("folder pets-train", "folder pets-test", 8, 2)
    assert train.reading.class_names == ("Bat", "owl") and train.labels.tolist() == [0] * 4 + [1] * 4
    assert train.reading.size is None and train.images.shape == (8, 3, 6, 7)
    there = {image.tobytes() for image in [*train.images, *test.images]}
    assert there == {np.asarray(Image.open(path)).transpose(2, 0, 1).tobytes() for path in folder.glob("*/*.png")}


def test_halves_and_kinds(tmp_path):
    grey = {}
    for half in ("train", "test", "val"):
        for name in "ab":
            grey[half, name] = put(tmp_path / half / name / "x.PNG", pixels(4, 5))
    train, test = load_dataset(str(tmp_path))
    assert train.images.shape == (2, 1, 4, 5) and test.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(train.images[1, 0], grey["train", "b"])
    shutil.rmtree(tmp_path / "test" / "a")
    assert load_dataset(tmp_path)[1].labels.tolist() == [1], "a class keeps its number where another is absent"
    put(tmp_path / "test" / "c" / "x.png", pixels(4, 5))
    with pytest.raises(ValueError, match="labels must be of the classes a, b, got c"):
        load_dataset(tmp_path)
    (tmp_path / "more").mkdir()
    with pytest.raises(ValueError, match="wanted train and test alone .*, got more too"):
        load_dataset(tmp_path)


def test_two_classes_may_be_called_train_and_test(tmp_path):
    for name in ("train", "test"):
        for i in range(2):
            put(tmp_path / name / f"{i}.png", pixels(4, 5))
    assert load_dataset(tmp_path)[0].reading.class_names == ("test", "train")


def test_sizes_are_made_one_and_kept_for_later(folder, tmp_path):
    flat = put(folder / "owl" / "9.jpg", np.full((12, 20, 3), 77, np.uint8))
    assert flat.shape == (12, 20, 3)
    with pytest.raises(ValueError, match="9.jpg: wanted pictures of one size, got 12 x 20, where .* has 6 x 7: .* --s"):
        load_dataset(folder)
    train, test = load_dataset(folder, size=(8, 9))
    assert train.images.shape[1:] == (3, 8, 9) and train.reading.size == (8, 9)
    assert any(abs(image.astype(int) - 77).max() < 3 for image in [*train.images, *test.images])
    later = tmp_path / "later" / "owl"
    for i in range(2):
        put(later / f"{i}.png", pixels(30, 30, 3))
    again = load_dataset(later.parent, like={"reading": train.reading.text()})[1]
    assert again.images.shape[1:] == (3, 8, 9) and again.labels.tolist() == [1]


def test_photos_are_turned_upright(tmp_path):
    shown = np.zeros((8, 16), np.uint8)
    shown[:, :8] = 255                                          # white on the left
    for i in range(2):
        exif = Image.Exif()
        exif[274] = 6                                           # stored a quarter to the left of how it is shown
        put(tmp_path / "a" / f"{i}.jpg", np.rot90(shown).copy(), exif=exif, quality=95)
    image = load_dataset(tmp_path)[0].images[0, 0]
    assert image.shape == (8, 16) and (image[:, :7] > 200).all() and (image[:, 9:] < 50).all()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(columns, rows, depth=8, colour=2, content=b""):
    head = struct.pack(">IIBBBBB", columns, rows, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(
        b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("make, message", [
    (lambda path: put(path, pixels(6, 7, 4)), "transparency"),
    (lambda path: put(path, pixels(6, 7, 2)), "transparency"),
    (lambda path: Image.fromarray(pixels(6, 7, 3)).quantize(8).save(path), "palette|bits"),
    (lambda path: Image.fromarray(pixels(6, 7, 3)).quantize(256).save(path), "palette"),
    (lambda path: put(path, pixels(6, 7).astype(np.uint16)), "16 bits"),
    (lambda path: path.write_bytes(png(7, 6, 16, 2, (b"\0" + b"ab" * 21) * 6)), "16 bits"),
    (lambda path: Image.fromarray(pixels(6, 7) > 9).save(path), "1 bit"),
    (lambda path: put(path, pixels(6, 7, 3), transparency=(1, 2, 3)), "transparency"),
    (lambda path: Image.fromarray(pixels(6, 7, 3)).convert("CMYK").save(path, "JPEG"), "mode CMYK"),
    (lambda path: Image.fromarray(pixels(6, 7, 3)).save(path, save_all=True, append_images=[
        Image.fromarray(pixels(6, 7, 3))]), "animation"),
    (lambda path: Image.fromarray(pixels(6, 7, 3)).save(path, "GIF"), "damaged one, or of another kind"),
    (lambda path: path.write_text("text"), "damaged one, or of another kind"),
    (lambda path: path.write_bytes(b""), "wanted a picture of 1 to"),
    (lambda path: path.write_bytes(png(7, 6, content=b"\0")), "damaged"),
    (lambda path: path.write_bytes(png(9000, 9000)), "at most 67108864 pixels, got 9000 x 9000"),
    (lambda path: path.write_bytes(png(60000, 60000)), "damaged one.*decompression bomb"),
    (lambda path: put(path, pixels(6, 7)), "all grey or all in colour"),
    (lambda path: path.mkdir(), "got a folder"),
    (lambda path: path.symlink_to(path.parent / "0.png"), "got a link"),
    (lambda path: path.with_suffix(".txt").write_text("x"), "new.txt: wanted pictures, .* got another file"),
    (lambda path: path.parent.with_name("ant").mkdir(), "ant: wanted pictures of the class, got an empty folder"),
    (lambda path: path.parent.with_name("link").symlink_to(path.parent), "link: .* got a link"),
    (lambda path: path.parent.with_name("notes.txt").write_text("x"), "notes.txt: wanted folders alone"),
])
def test_what_is_no_plain_picture_is_refused_by_name(folder, make, message):
    make(folder / "owl" / "new.png")
    with pytest.raises(ValueError, match=rf"{folder}/.*({message})") as caught:
        load_dataset(folder)
    assert any(name in str(caught.value) for name in ("new.", "ant", "link", "notes.txt"))


def test_memory_is_known_before_it_is_taken(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_folders, "_decoded", None)
    monkeypatch.setattr(picture_folders, "MAX_BYTES", 10**8)
    with pytest.raises(ValueError, match="wanted at most .* got 10 pictures of 3 x 2000 x 2000, which take 120000000"):
        load_dataset(folder, size=(2000, 2000))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: wanted 1 to 256 folders, one a class, got 0"):
        load_dataset(tmp_path / "empty")


def test_damaged_pictures_end_in_a_value_error(tmp_path):
    put(tmp_path / "a" / "0.png", pixels(6, 7, 3))
    for name in ("x.png", "x.jpg"):
        path = tmp_path / "a" / name
        put(path, pixels(6, 7, 3))
        good = path.read_bytes()
        for i in range(0, len(good), 5):
            for bad in (good[:i], good[:i] + bytes([good[i] ^ 255]) + good[i + 1:]):
                path.write_bytes(bad)
                try:
                    load_dataset(tmp_path)
                except ValueError:
                    pass
        path.unlink()
