import shutil

import pytest
from conftest import TINY_MODEL
from drawing import draw, save

from koch_siamese.data.sources import DataSource
from koch_siamese.evaluation.loading import (
    is_trained_on,
    load_scorer,
    make_test_source,
)
from koch_siamese.models.siamese import get_crop, get_dataset
from koch_siamese.runs import directory
from koch_siamese.runs.settings import Settings


class Run:
    """A run on a folder of images that were read with --crop."""

    def __init__(self, fingerprint):
        self.fingerprint = fingerprint

    def read_settings(self):
        return Settings(dataset="folder", crop=True)

    def read_fingerprint(self):
        return self.fingerprint


@pytest.mark.parametrize("crop", [False, True])
def test_a_folder_is_recognized_however_it_is_read(crop, tmp_path):
    for place in ("one", "other"):
        for name in ("ka", "ki"):
            save(draw(), tmp_path / place / name / "1.png")
    save(draw(box=(30, 30, 50, 50)), tmp_path / "other/ki/1.png")
    one, other = (
        DataSource("folder", data_dir=str(tmp_path / place), crop=crop)
        for place in ("one", "other")
    )
    cropped = DataSource("folder", data_dir=one.data_dir, crop=True)
    run = Run(cropped.compute_fingerprint())
    assert is_trained_on(one, run)
    assert not is_trained_on(other, run)
    assert is_trained_on(one, Run(None)) is None
    assert not is_trained_on(DataSource("glyphs"), run)


def test_a_source_is_made_as_in_a_training_unless_the_user_gives_more(tmp_path):
    run = directory.Run(tmp_path)
    run.claim(Settings(dataset="omniglot", background="koch"))
    source = make_test_source("omniglot", None, run, background=None)
    assert (source.background, source.crop) == ("koch", False)
    source = make_test_source("omniglot", None, run, background="original")
    assert source.background == "original"
    assert make_test_source("folder", None, run).crop  # the run had no folder
    assert make_test_source("omniglot", None, None).background == "original"
    run.claim(Settings(dataset="folder"))
    source = make_test_source("folder", None, run)
    assert not source.crop
    run.claim(Settings(dataset="emnist/letters"))
    for dataset, split_here in (("emnist/letters", True), ("mnist", False)):
        source = make_test_source(dataset, None, run)
        assert source.split_labels is split_here


def test_a_run_knows_what_an_old_model_does_not_store(tmp_path):
    run = directory.Run(tmp_path)
    run.claim(Settings(dataset="folder"))
    shutil.copy(TINY_MODEL, run.model)
    siamese, _, found = load_scorer(run.path)
    assert found.path == run.path
    assert (get_crop(siamese), get_dataset(siamese)) == (False, "folder")
    siamese, _, found = load_scorer(TINY_MODEL)
    assert found is None
    assert (get_crop(siamese), get_dataset(siamese)) == (True, None)
