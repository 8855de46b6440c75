import pytest
from drawing import draw, save

from koch_siamese.data.sources import DataSource
from koch_siamese.evaluation.loading import is_trained_on
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
    assert not is_trained_on(one, Run(None))
    assert not is_trained_on(DataSource("glyphs"), run)
