"""Tests the official builder, on real data and on tiny zips from a server."""

import functools
import hashlib
import http.server
import io
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from koch_siamese.data import omniglot
from koch_siamese.data.sources import load_characters
from koch_siamese.errors import InputError

BACKGROUND = {"Arcadian": 3, "Greek": 2}
EVALUATION = {"Angelic": 2} | dict.fromkeys(omniglot.OFFICIAL_TEST_ALPHABETS, 2)
ZIPS = {
    "images_background": BACKGROUND,
    "images_evaluation": EVALUATION,
    "images_background_small1": {"Arcadian": 3},
    "images_background_small2": {"Greek": 2},
}
NUM_DRAWERS = 4


def draw(label, drawer):
    """Draws a row that encodes the character and a column for the drawer."""
    image = np.full((105, 105), 255, np.uint8)
    image[label] = 0
    image[:, drawer] = 0
    return image


@pytest.fixture(scope="module")
def zips(tmp_path_factory):
    """Zips of the original layout: alphabet/characterNN/NNNN_DD.png."""
    folder = tmp_path_factory.mktemp("zips")
    names = [*BACKGROUND, *EVALUATION]
    sizes = BACKGROUND | EVALUATION
    first = dict(zip(names, np.cumsum([0, *sizes.values()]), strict=False))
    for zip_name, alphabets in ZIPS.items():
        with zipfile.ZipFile(folder / f"{zip_name}.zip", "w") as archive:
            for alphabet, size in alphabets.items():
                for number in range(1, size + 1):
                    label = int(first[alphabet]) + number
                    for drawer in range(1, NUM_DRAWERS + 1):
                        buffer = io.BytesIO()
                        picture = Image.fromarray(draw(label, drawer))
                        picture.convert("1").save(buffer, "png")
                        archive.writestr(
                            f"{zip_name}/{alphabet}/character{number:02d}/"
                            f"{label:04d}_{drawer:02d}.png",
                            buffer.getvalue(),
                        )
    return folder


def checksums(urls, zips):
    """Makes TFDS's records of some URLs: size and checksum of the tiny zips."""
    from tensorflow_datasets.core.download.checksums import UrlInfo
    from tensorflow_datasets.core.units import Size

    infos = {}
    for url in urls:
        content = (zips / url.rsplit("/", 1)[1]).read_bytes()
        infos[url] = UrlInfo(
            size=Size(len(content)),
            checksum=hashlib.sha256(content).hexdigest(),
            filename=url.rsplit("/", 1)[1],
        )
    return infos


@pytest.fixture
def official(zips, monkeypatch):
    """The official builder's module, told to expect the tiny zips."""
    from tensorflow_datasets.image_classification import omniglot as official

    sizes = BACKGROUND | EVALUATION
    monkeypatch.setattr(official, "_NUM_ALPHABETS", len(sizes))
    monkeypatch.setattr(official, "_NUM_CLASSES", sum(sizes.values()))
    infos = checksums(official._DL_URLS.values(), zips)
    monkeypatch.setattr(official.Omniglot, "url_infos", infos)
    return official


@pytest.fixture
def served(zips, official, monkeypatch):
    """Serves the zips locally and points the builder's URLs to them."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(zips))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    urls = {
        key: f"{base}/{url.rsplit('/', 1)[1]}"
        for key, url in official._DL_URLS.items()
    }
    infos = checksums(urls.values(), zips)
    monkeypatch.setattr(official, "_DL_URLS", urls)
    monkeypatch.setattr(official.Omniglot, "url_infos", infos)
    yield
    server.shutdown()
    server.server_close()


def check_tiny(characters, alphabets):
    assert len(characters) == sum(alphabets.values()) * NUM_DRAWERS
    for image, label, drawer in zip(
        characters.images[..., 0],
        characters.character,
        characters.drawer,
        strict=True,
    ):
        np.testing.assert_array_equal(image, draw(label + 1, drawer))
    for name, size in alphabets.items():
        numbers = characters.of_alphabets([name]).number
        assert sorted(set(numbers)) == list(range(1, size + 1))


@pytest.mark.usefixtures("served")
def test_first_use_downloads_and_prepares(tmp_path):
    load = functools.partial(
        load_characters, "omniglot", data_dir=str(tmp_path)
    )
    check_tiny(load("training"), BACKGROUND)
    check_tiny(load("training", background="small2"), {"Greek": 2})
    check_tiny(load("validation"), {"Angelic": 2})
    test = dict.fromkeys(omniglot.OFFICIAL_TEST_ALPHABETS, 2)
    check_tiny(load("test"), test)


@pytest.mark.usefixtures("served")
def test_files_written_by_another_process_are_used(
    official, tmp_path, monkeypatch
):
    prepare = official.Omniglot.download_and_prepare

    def lose_the_race(builder, **options):
        prepare(official.Omniglot(data_dir=tmp_path), **options)
        raise FileExistsError("Destination exists")

    monkeypatch.setattr(
        official.Omniglot, "download_and_prepare", lose_the_race
    )
    characters = load_characters("omniglot", "training", data_dir=tmp_path)
    check_tiny(characters, BACKGROUND)


@pytest.mark.usefixtures("official")
def test_manually_downloaded_zips_are_used(zips, tmp_path):
    characters = load_characters(
        "omniglot",
        "training",
        data_dir=str(tmp_path),
        manual_dir=str(zips),
    )
    check_tiny(characters, BACKGROUND)


@pytest.mark.usefixtures("official")
def test_zips_of_other_content_are_refused(zips, tmp_path):
    for path in zips.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes() + b"more")
    with pytest.raises(InputError, match="wrong checksum"):
        load_characters(
            "omniglot",
            "training",
            data_dir=str(tmp_path / "data"),
            manual_dir=str(tmp_path),
        )


def test_missing_zips_are_named(tmp_path, caplog):
    with pytest.raises(InputError, match=r"images_evaluation\.zip"):
        load_characters(
            "omniglot",
            "test",
            data_dir=str(tmp_path),
            manual_dir=str(tmp_path),
        )
    assert caplog.text == ""


def test_missing_network_is_reported_at_once(official, tmp_path, monkeypatch):
    # Nothing listens on port 9 of this machine.
    url = {"train": "http://127.0.0.1:9/images_background.zip"}
    monkeypatch.setattr(official, "_DL_URLS", url)
    with pytest.raises(InputError) as error:
        load_characters("omniglot", "training", data_dir=str(tmp_path))
    for way_out in ("--data_dir", "--manual_dir", "--dataset=glyphs"):
        assert way_out in str(error.value)


def test_drawers_out_of_order_are_an_error():
    label = np.repeat([0, 1], 20)
    with pytest.raises(InputError, match="not in the official order"):
        omniglot.recover_drawers(
            "train", np.full(40, "Greek"), label + 1, label
        )


@pytest.mark.slow
def test_splits_of_real_omniglot(omniglot_dir, monkeypatch):
    # The eight loads below need only four TFDS splits. Read each one once.
    read_characters, known = omniglot.read_characters, {}

    def read_once(builder, split):
        if split not in known:
            known[split] = read_characters(builder, split)
        return known[split]

    monkeypatch.setattr(omniglot, "read_characters", read_once)

    def load(split, background):
        return load_characters(
            "omniglot", split, background=background, data_dir=omniglot_dir
        )

    sizes = {
        ("training", "original"): (964, 30, 20),
        ("training", "koch"): (964, 30, 12),
        ("training", "small1"): (136, 5, 20),
        ("training", "small2"): (156, 5, 20),
        ("validation", "koch"): (277, 10, 4),
        ("test", "original"): (382, 10, 20),
        ("test", "koch"): (382, 10, 4),
        ("evaluation", "koch"): (659, 20, 20),
    }
    alphabets = {}
    for (split, background), size in sizes.items():
        characters = load(split, background)
        found = set(characters.alphabet)
        drawers = len(set(characters.drawer))
        assert (characters.num_characters, len(found), drawers) == size
        assert len(characters) == size[0] * size[2]
        alphabets[split, background] = found
    assert not alphabets["training", "original"] & (
        alphabets["validation", "koch"] | alphabets["test", "original"]
    )
    assert not (alphabets["validation", "koch"] & alphabets["test", "original"])


@pytest.mark.parametrize(
    ("dataset", "split"),
    [
        ("glyphs", "evaluation"),
        ("omniglot", "all"),
        ("omniglot", "train"),  # TFDS's name, once mistaken for validation
        ("folder", "tset"),
    ],
)
def test_splits_of_other_data_sets_are_refused(dataset, split):
    with pytest.raises(InputError, match=f"{dataset} has no split '{split}'"):
        load_characters(dataset, split)
