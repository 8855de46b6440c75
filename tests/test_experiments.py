"""The flagfiles in experiments/: all are valid, and training runs."""

import dataclasses
import re

import keras
import numpy as np
import pytest
from conftest import REPOSITORY, call

from koch_siamese.data.sources import load_characters
from koch_siamese.runs.flagfiles import read_flagfile
from koch_siamese.runs.settings import find_without_effect
from koch_siamese.training import batches, builders, relative_updates, trainers

FLAGFILES = sorted((REPOSITORY / "experiments").glob("*.flags"))
# The settings in which an ablation differs from its recipe.
SEARCHED = {"layer_learning_rates", "layer_momentums", "layer_l2"}
ABLATIONS = {
    "ablation_adam": {"optimizer", "learning_rate", "weight_decay"},
    "ablation_affine": {"distortion"},
    "ablation_any_alphabet": {"within_alphabet"},
    "ablation_float32": {"precision"},
    "ablation_no_decay": {"weight_decay"},
    "ablation_no_mirrors": {"mirror_images"},
    "ablation_no_new_characters": {"character_distortion"},
    "ablation_no_ranking": {"ranking_weight"},
    "ablation_no_turns": {"quarter_turns"},
    "ablation_nonpositive": {"head_weights"},
    "ablation_one_view": {"views"},
    "ablation_turned_views": {"turned_views"},
    "confirm_35px_run26": SEARCHED,
    "confirm_35px_run67": SEARCHED,
    "confirm_35px_run97": SEARCHED,
    "emoji_grey": set(),  # only the images differ
    "emoji_no_new_classes": {"character_distortion", "character_effects"},
    "proxy_found_one_rate": {"layer_learning_rates", "relative_updates"},
    "proxy_found_slow_ramp": {"momentum_ramp_steps"},
    "proxy_found_small_dense_l2": {"layer_l2"},
    "proxy_found_uniform": {"initial_values", "layer_stddevs"},
}
ABLATED = re.compile(
    "(ablation|confirm_35px|proxy_found|emoji(?=_(grey|no_)))_.+"
)
# Different kinds of networks, batches, optimizers and images. The others are
# trained with -m slow.
TRAINED_QUICKLY = (
    "contrastive_35px",
    "dense_siamese",
    "proxy_found",
    "tutorial_35px",
)
TRAINED = [
    pytest.param(
        path,
        id=path.stem,
        marks=() if path.stem in TRAINED_QUICKLY else pytest.mark.slow,
    )
    for path in FLAGFILES
    if not ABLATED.match(path.stem)
]


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)
def test_flagfile_describes_and_names_its_run(path):
    assert path.read_text().startswith("# ")
    settings, workdir = read_flagfile(path)
    assert list(find_without_effect(settings)) == []
    assert workdir == f"runs/{path.stem}"


def test_every_ablation_is_known():
    stems = {path.stem for path in FLAGFILES}
    assert set(filter(ABLATED.match, stems)) == ABLATIONS.keys()


@pytest.mark.parametrize(("name", "changed"), ABLATIONS.items())
def test_ablation_changes_only_its_own_settings(name, changed):
    folder = REPOSITORY / "experiments"
    recipe, _ = read_flagfile(folder / f"{ABLATED.match(name)[1]}.flags")
    ablation, _ = read_flagfile(folder / f"{name}.flags")
    assert changed == {
        field.name
        for field in dataclasses.fields(recipe)
        if getattr(recipe, field.name) != getattr(ablation, field.name)
    }


@pytest.mark.parametrize("path", TRAINED)
def test_flagfile_trains(path, glyphs_dir, monkeypatch):
    monkeypatch.setattr(relative_updates, "NUM_MEASURED_PAIRS", 8)
    settings, _ = read_flagfile(path)
    # Small batches and few units: 128 pairs take long in the paper's network.
    *_, units = builders.get_layer_sizes(settings)
    is_fixed = settings.sampling == "pairs" and settings.effects == "none"
    settings = dataclasses.replace(
        settings,
        batch_size=4,
        group_characters=4,
        num_pairs=16 if is_fixed else 0,
        units=(16,) * len(units),
    )
    characters = load_characters("glyphs/tiny", "test", data_dir=glyphs_dir)
    characters = characters.resized(settings.image_size)
    if settings.image_kind == "photo":
        colors = np.repeat(characters.images, 3, axis=-1)
        characters = dataclasses.replace(characters, images=colors)
    keras.utils.clear_session()
    siamese = builders.build_model(settings)
    if settings.relative_updates:
        settings = relative_updates.convert_relative_updates(
            settings, siamese, characters
        )
    trainer = trainers.build_trainer(settings, siamese)
    before = [np.array(weight) for weight in siamese.trainable_weights]
    trainer.fit(
        batches.make_batches(settings, characters),
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


@pytest.mark.slow
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
