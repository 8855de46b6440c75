"""Every flagfile of experiments/ parses, and its training runs."""

import dataclasses
import re

import keras
import numpy as np
import pytest
from conftest import REPOSITORY, call

from koch_siamese.data.sources import load_characters
from koch_siamese.runs.flagfiles import read_flagfile
from koch_siamese.training import builders

FLAGFILES = sorted((REPOSITORY / "experiments").glob("*.flags"))
ABLATIONS = {
    "adam": {"optimizer", "learning_rate", "weight_decay"},
    "affine": {"distortion"},
    "any_alphabet": {"within_alphabet"},
    "float32": {"precision"},
    "no_decay": {"weight_decay"},
    "no_mirrors": {"mirror_images"},
    "no_new_characters": {"character_distortion"},
    "no_ranking": {"ranking_weight"},
    "no_turns": {"quarter_turns"},
    "one_view": {"views"},
    "turned_views": {"turned_views"},
}
# An ablation trains as ablation.flags does, but for the lever that is off.
IS_ABLATION = re.compile("ablation_(.+)")
TRAINED = [path for path in FLAGFILES if not IS_ABLATION.match(path.stem)]


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)
def test_flagfile_tells_what_it_is_and_names_its_run(path):
    assert path.read_text().startswith("# ")
    _, workdir = read_flagfile(path)
    assert workdir == f"runs/{path.stem}"


def test_every_ablation_is_known():
    found = map(IS_ABLATION.match, (path.stem for path in FLAGFILES))
    assert {match[1] for match in found if match} == ABLATIONS.keys()


@pytest.mark.parametrize(("name", "levers"), ABLATIONS.items())
def test_ablation_is_without_one_lever(name, levers):
    folder = REPOSITORY / "experiments"
    whole, _ = read_flagfile(folder / "ablation.flags")
    without, _ = read_flagfile(folder / f"ablation_{name}.flags")
    assert levers == {
        field.name
        for field in dataclasses.fields(whole)
        if getattr(whole, field.name) != getattr(without, field.name)
    }


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)
def test_flagfile_trains(path, glyphs_dir, monkeypatch):
    monkeypatch.setattr(builders, "NUM_MEASURED_PAIRS", 8)
    settings, _ = read_flagfile(path)
    # Small batches and few units: the paper's network takes long for 128 pairs.
    *_, units = builders.get_layer_sizes(settings)
    settings = dataclasses.replace(
        settings,
        batch_size=4,
        group_characters=4,
        num_pairs=16 if settings.sampling == "pairs" else 0,
        units=(16,) * len(units),
    )
    characters = load_characters("glyphs/tiny", "test", data_dir=glyphs_dir)
    characters = characters.resized(settings.image_size)
    keras.utils.clear_session()
    siamese = builders.build_model(settings)
    if settings.relative_updates:
        settings = builders.convert_relative_updates(
            settings, siamese, characters
        )
    trainer = builders.build_trainer(settings, siamese)
    before = [np.array(weight) for weight in siamese.trainable_weights]
    trainer.fit(
        builders.make_batches(settings, characters),
        steps_per_epoch=2,
        shuffle=False,
        verbose=0,
    )
    assert np.isfinite(trainer.history.history["loss"]).all()
    moved = [
        not np.array_equal(weight, old)
        for weight, old in zip(siamese.trainable_weights, before, strict=True)
    ]
    assert all(moved)


def test_smoke_runs_through_the_command_line(glyphs_dir, tmp_path):
    answer = call(
        "train",
        "--flagfile=experiments/smoke.flags",
        f"--workdir={tmp_path}",
        f"--data_dir={glyphs_dir}",
        cwd=REPOSITORY,
    )
    assert answer.returncode == 0, answer.stderr
    for protocol in ("verification", "within_alphabet", "cross_alphabet"):
        assert (tmp_path / "results" / f"{protocol}.json").exists()
        assert protocol in answer.stdout
