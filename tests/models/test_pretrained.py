"""The models in the package: their sizes, accuracy and calibration."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import REPOSITORY, build_fast_siamese, call
from PIL import Image

import koch_siamese
from experiments import smaller_models
from koch_siamese.errors import InputError
from koch_siamese.evaluation.protocols import PROTOCOLS
from koch_siamese.evaluation.scoring import (
    EmbeddedDrawings,
    evaluate_trials,
)
from koch_siamese.models.loading import load_model
from koch_siamese.models.packaged import read_card
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.siamese import (
    get_crop,
    get_dataset,
    get_head,
    get_image_size,
    get_thresholds,
    set_crop,
    set_thresholds,
)
from koch_siamese.models.thresholds import Thresholds
from koch_siamese.models.views import (
    add_views,
    count_views,
    remove_views,
    sample_views,
)
from koch_siamese.sampling.distortions import DISTORTIONS
from koch_siamese.sampling.pairs import CharacterIndex, sample_pairs

RESULT = REPOSITORY / "experiments/results/pretrained_lake.json"

# A client with TensorFlow alone: PNG files in, an accuracy out.
CLIENT = """
import json, sys
sys.modules["koch_siamese"] = sys.modules["keras"] = None
import numpy as np, tensorflow as tf
from PIL import Image

folder, model = sys.argv[1:]
def read(names):
    images = [np.array(Image.open(f"{folder}/{name}")) for name in names]
    return np.array(images)[..., np.newaxis]
loaded = tf.saved_model.load(model)
correct = []
for run in json.load(open(f"{folder}/runs.json")):
    answer = loaded.classify(
        query=read(run["queries"]), support=read(run["supports"])
    )
    correct += list(answer["score"].numpy().argmax(axis=1) == run["answers"])
print(np.mean(correct))
"""


@pytest.fixture(scope="module")
def model():
    return koch_siamese.load_pretrained()


@pytest.fixture(scope="module")
def lake(official_characters):
    """Omniglot's test characters, and the official trials."""
    trials = PROTOCOLS["lake"].sample(official_characters)
    return official_characters, trials


@pytest.fixture(scope="module")
def drawings(model, lake):
    """Their drawings, embedded only once for all tests, which takes long."""
    characters, _ = lake
    return EmbeddedDrawings(SiameseScorer(model), characters.images)


@pytest.mark.parametrize(
    ("name", "size", "num_views"),
    [("pretrained", 4e6, 3), ("pretrained_large", 4e6, 9)],
)
def test_models_are_small_and_have_thresholds(name, size, num_views):
    folder = Path(koch_siamese.__file__).parent / "models"
    assert (folder / f"{name}.keras").stat().st_size < size
    model = koch_siamese.load_model(name)
    assert count_views(model) == num_views
    assert get_image_size(model) == 32
    assert (get_dataset(model), get_crop(model)) == ("omniglot", True)
    thresholds = get_thresholds(model)
    assert len(thresholds.none_of_these) == 20
    assert list(thresholds.none_of_these) == sorted(thresholds.none_of_these)
    card = read_card(name)
    assert f"# The model `{name}`\n" in card
    assert f"**Output.** An embedding of {256 * num_views:,} numbers" in card
    assert "**Limits.**" in card


def test_score_of_kept_views_is_their_mean():
    keras.utils.set_random_seed(0)
    siamese = build_fast_siamese(16, (4, 8))
    # All distances have different weights, so that their order matters.
    get_head(siamese).set_weights([np.linspace(-1, 1, 128), np.array(0.25)])
    rng = np.random.default_rng(1)
    matrices = sample_views(DISTORTIONS["elastic"], 3, rng)
    model = add_views(siamese, matrices, 0.5)
    set_crop(model, False)
    set_thresholds(model, Thresholds(0.5, (1.0, 2.0)))
    images = rng.integers(0, 256, (2, 16, 16, 1), np.uint8)
    pair = {"first": images[:1], "second": images[1:]}
    alone = [smaller_models.keep_views(model, [i])(pair) for i in range(3)]
    kept = smaller_models.keep_views(model, [2, 0])
    assert count_views(kept) == 2
    np.testing.assert_allclose(kept(pair), (alone[2] + alone[0]) / 2, rtol=1e-5)
    np.testing.assert_allclose(sum(alone) / 3, model(pair), rtol=1e-5)
    assert np.ptp(alone) > 1e-3
    assert not get_crop(kept)
    assert get_thresholds(kept) == Thresholds(0.5, (1.0, 2.0))
    with pytest.raises(InputError, match="no views"):
        smaller_models.keep_views(siamese, [0])


def test_a_model_is_saved_in_half_precision(tmp_path):
    model = build_fast_siamese(16, (4, 8))
    model.save(tmp_path / "whole.keras")
    smaller_models.round_weights(model)
    path = tmp_path / "model.keras"
    smaller_models.save_in_half_precision(model, path)
    assert {x.name for x in tmp_path.iterdir()} == {"whole.keras", path.name}
    assert path.stat().st_size < (tmp_path / "whole.keras").stat().st_size
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 1), np.uint8)
    pair = {"first": images[:1], "second": images[1:]}
    np.testing.assert_array_equal(load_model(path)(pair), model(pair))


def test_both_models_have_the_same_weights(model):
    large = koch_siamese.load_model("pretrained_large")
    for ours, theirs in zip(
        remove_views(model).get_weights(),
        remove_views(large).get_weights(),
        strict=True,
    ):
        # Half precision has 11 binary digits; the least positive number is
        # 6e-8.
        np.testing.assert_allclose(ours, theirs, rtol=2**-10, atol=6e-8)


def test_pretrained_model_keeps_its_stated_accuracy(drawings, lake):
    _, trials = lake
    result = evaluate_trials(drawings, trials)
    stated = json.loads(RESULT.read_text())["accuracy"]
    assert result["accuracy"] == pytest.approx(stated, abs=0.005)


@pytest.mark.slow
def test_probabilities_of_pretrained_are_calibrated(model, drawings, lake):
    characters, trials = lake
    # Only the four drawers of each alphabet in the official trials: embedding
    # all 20 takes a minute.
    people = np.stack([characters.alphabet, characters.drawer], axis=1)
    in_trials = people[np.r_[trials.query, trials.support.ravel()]]
    chosen = np.flatnonzero(
        (people[:, np.newaxis] == np.unique(in_trials, axis=0)).all(-1).any(-1)
    )
    assert len(chosen) == 382 * 4
    index = CharacterIndex.from_labels(
        characters.character[chosen], characters.alphabet[chosen]
    )
    rng = np.random.default_rng(0)
    first, second, same = sample_pairs(index, 10_000, rng)
    scores = drawings.score_pairs(chosen[first], chosen[second])
    predicted = get_thresholds(model).probability(scores)
    bins = np.minimum(10 * predicted, 9).astype(int)
    gaps = [
        abs((predicted - same)[bins == number].mean()) * np.mean(bins == number)
        for number in np.unique(bins)
    ]
    # The expected calibration error was 0.03 when it was measured.
    assert sum(gaps) < 0.035


@pytest.mark.slow
def test_saved_model_has_the_accuracy_of_evaluate(drawings, lake, tmp_path):
    characters, trials = lake
    expected = evaluate_trials(drawings, trials)

    def save(drawings):
        for drawing in drawings:
            image = Image.fromarray(characters.images[drawing, ..., 0])
            image.save(tmp_path / f"{drawing}.png")
        return [f"{drawing}.png" for drawing in drawings]

    runs = [
        {
            "queries": save(trials.query[start : start + 20]),
            "supports": save(trials.support[start, :, 0]),
            "answers": trials.answer[start : start + 20].tolist(),
        }
        for start in range(0, len(trials), 20)
    ]
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    exported = tmp_path / "exported"
    answer = call("export", "--model=pretrained", f"--output={exported}")
    assert answer.returncode == 0, answer.stderr
    client = subprocess.run(
        [sys.executable, "-c", CLIENT, tmp_path, exported / "saved_model"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert client.returncode == 0, client.stderr
    assert float(client.stdout) == expected["accuracy"]
