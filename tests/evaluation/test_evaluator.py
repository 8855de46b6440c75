import dataclasses
import re
import shutil
import warnings

import keras
import numpy as np
import pytest
from conftest import TINY_MODEL, make_characters
from drawing import draw, save

from koch_siamese.data.sources import DataSource
from koch_siamese.errors import DataWarning, InputError
from koch_siamese.evaluation.baselines import PixelsCosine
from koch_siamese.evaluation.evaluator import Evaluator, evaluate_protocol
from koch_siamese.evaluation.protocols import PROTOCOLS
from koch_siamese.models.loading import load_model
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.siamese import set_dataset
from koch_siamese.runs.directory import Run
from koch_siamese.runs.settings import Settings

CHARACTERS = make_characters((5, 6, 7), num_drawers=4)


class Source:
    """Returns the same characters for any split, and records the calls."""

    dataset, background, photo_size = "glyphs", "original", 0

    def __init__(self):
        self.loaded = []

    def load(self, split):
        self.loaded.append(split)
        return CHARACTERS


class Scorer:
    """Scores by the mean pixel, and records the images it has embedded."""

    same_threshold = None

    def __init__(self):
        self.embedded = []

    def embed(self, images):
        self.embedded += [image.tobytes() for image in images]
        return images.reshape(len(images), -1).mean(axis=1, keepdims=True)

    def score(self, first, second):
        return -np.abs(first - second)[:, 0]


@pytest.fixture
def source():
    return Source()


def test_each_split_is_loaded_and_each_drawing_embedded_once(source):
    scorer = Scorer()
    evaluator = Evaluator(scorer, source)
    options = {"num_trials": 50, "ways": 3, "seed": 1}
    for protocol in ("within_alphabet", "cross_alphabet", "verification"):
        result = evaluator.evaluate(protocol, **options)
        assert result["protocol"] == protocol
        assert result["num_trials"] == 50
    assert source.loaded == ["test", "validation"]
    counts = np.unique(scorer.embedded, return_counts=True)[1]
    # Twice at most, because both splits have the same drawings here.
    assert counts.max() == 2


def test_verification_has_readings_of_the_papers_test(packed_omniglot_dir):
    source = DataSource("omniglot", "koch", packed_omniglot_dir)
    result = Evaluator(PixelsCosine(), source).evaluate(
        "verification", num_trials=2000
    )
    names = [(x["drawers"], x["different_pairs"]) for x in result["readings"]]
    assert names == [
        ("17 to 20", "within_alphabet"),
        ("lake", "within_alphabet"),
        ("17 to 20", "anywhere"),
        ("lake", "anywhere"),
    ]
    # The first reading has the metrics of the result itself. Its threshold is
    # also chosen on validation pairs.
    for key, value in result["readings"][0].items():
        assert result.get(key, value) == value
    own, *others = (x["accuracy"] for x in result["readings"])
    assert own not in others
    lake = [x["threshold"] for x in result["readings"]]
    assert lake[0] == lake[1] != lake[2] == lake[3]

    source = DataSource("omniglot", "original", packed_omniglot_dir)
    result = Evaluator(PixelsCosine(), source).evaluate(
        "verification", num_trials=50
    )
    assert result["readings"][0]["drawers"] == "all"
    validation = Evaluator(PixelsCosine(), source).evaluate(
        "verification", num_trials=50, split="validation"
    )
    assert "readings" not in validation


def test_predictions_name_drawings_by_their_labels(source):
    source.load_files = lambda split: None
    evaluator = Evaluator(Scorer(), source)
    rows = list(evaluator.list_predictions("verification", num_trials=4))
    assert len(rows) == 4
    for row in rows:
        for name in (row["first"], row["second"]):
            assert re.fullmatch("a[0-2]/0[1-7]/0[1-4]", name)


def test_same_seed_gives_the_same_result(source):
    def measure(seed):
        result = evaluate_protocol(
            Scorer(), "within_alphabet", source, ways=4, seed=seed
        )
        return result["accuracy"], result["nearest_neighbour"]

    assert measure(0) == measure(0)
    assert measure(0) != measure(1)


def test_a_model_is_evaluated_on_a_data_set_by_name(glyphs_dir):
    model = load_model(TINY_MODEL)
    options = {"num_trials": 40, "ways": 5, "seed": 3}
    result = evaluate_protocol(
        model,
        "within_alphabet",
        "glyphs/tiny",
        data_dir=glyphs_dir,
        split="validation",
        **options,
    )
    characters = DataSource("glyphs/tiny", data_dir=glyphs_dir).load(
        "validation"
    )
    trials = PROTOCOLS["within_alphabet"].sample(characters, **options)
    scorer = SiameseScorer(model)
    embeddings = scorer.embed(characters.images)
    scores = np.array(
        [
            scorer.score(embeddings[query][None], embeddings[support[:, 0]])
            for query, support in zip(trials.query, trials.support, strict=True)
        ]
    )
    correct = scores.argmax(axis=1) == trials.answer
    assert result["accuracy"] == pytest.approx(correct.mean())
    assert (result["dataset"], result["split"]) == ("glyphs/tiny", "validation")


def test_set_is_closed_only_for_models_trained_on_its_data_set(tmp_path):
    for split, sides in (("train", (60, 65, 70, 75)), ("test", (80, 90))):
        for name in ("ka", "ki"):
            for side in sides:
                save(draw(side=side), tmp_path / split / name / f"{side}.png")
    model = load_model(TINY_MODEL)
    for trained, expected in (("folder", True), ("omniglot", False)):
        set_dataset(model, trained)
        result = evaluate_protocol(
            model,
            "within_alphabet",
            "folder",
            data_dir=str(tmp_path),
            num_trials=4,
            ways=2,
        )
        assert result["closed_set"] is expected


def test_whether_a_set_is_closed_may_be_unknown(tmp_path):
    for name in ("ka", "ki"):
        for side in (60, 70, 80):
            save(draw(side=side), tmp_path / "images" / name / f"{side}.png")
    images = str(tmp_path / "images")
    source = DataSource("folder", data_dir=images, crop=True)
    run = Run(tmp_path / "run")
    run.claim(Settings(dataset="folder", crop=True))
    shutil.copy(TINY_MODEL, run.model)
    for fingerprint, expected in (
        (None, None),
        (source.compute_fingerprint(), True),
        ("0", False),
    ):
        run.write_result("thresholds", {"data_fingerprint": fingerprint})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = evaluate_protocol(
                run.path,
                "within_alphabet",
                source,
                split="all",
                num_trials=4,
                ways=2,
            )
        assert result["closed_set"] is expected
        messages = [str(x.message) for x in caught]
        assert any("closed_set is null" in x for x in messages) is (
            expected is None
        )


def test_background_is_that_of_the_models_run(packed_omniglot_dir, tmp_path):
    run = Run(tmp_path)
    run.claim(Settings(dataset="omniglot", background="koch"))
    shutil.copy(TINY_MODEL, run.model)
    options = {"num_trials": 20, "ways": 5}
    for model, background in (
        (run.path, "koch"),
        (str(run.model), "koch"),
        (TINY_MODEL, "original"),
    ):
        result = evaluate_protocol(
            model,
            "within_alphabet",
            "omniglot",
            data_dir=packed_omniglot_dir,
            **options,
        )
        assert result["background"] == background
    source = DataSource("omniglot", data_dir=packed_omniglot_dir)
    given = evaluate_protocol(run.path, "within_alphabet", source, **options)
    assert given["background"] == "original"
    assert given["accuracy"] == result["accuracy"]


def save_drawings(folder):
    """Saves four drawings of each of four classes."""
    for name in ("ka", "ki", "ku", "ke"):
        for side in (40, 50, 60, 70):
            save(draw(side=side), folder / name / f"{side}.png")
    return DataSource("folder", data_dir=str(folder), crop=True)


def test_source_that_is_read_unlike_the_training_images(tmp_path):
    source = save_drawings(tmp_path)
    options = {"split": "all", "num_trials": 4, "ways": 4}
    arguments = TINY_MODEL, "within_alphabet"
    uncropped = dataclasses.replace(source, crop=False)
    with pytest.warns(DataWarning, match="source has crop=False") as warned:
        evaluate_protocol(*arguments, uncropped, **options)
    assert [x.filename for x in warned if "crop=" in str(x.message)] == [
        __file__
    ]
    photos = dataclasses.replace(source, crop=False, photo_size=30)
    with pytest.raises(InputError, match="photo_size=30, but the model"):
        evaluate_protocol(*arguments, photos, **options)


@dataclasses.dataclass
class MinimalScorer:
    """Has only what a scorer must have, and is not hashable."""

    def embed(self, images):
        return images.reshape(len(images), -1).mean(axis=1, keepdims=True)

    def score(self, first, second):
        return -np.abs(first - second)[:, 0]


@pytest.mark.parametrize("protocol", ["verification", "within_alphabet"])
def test_a_scorer_needs_only_embed_and_score(protocol, source):
    ways = {} if protocol == "verification" else {"ways": 5}
    first, second = (
        evaluate_protocol(scorer, protocol, source, num_trials=30, **ways)
        for scorer in (MinimalScorer(), Scorer())
    )
    assert first["accuracy"] == second["accuracy"]


def test_characters_are_a_source(source):
    options = {"num_trials": 30, "ways": 5}
    for protocol in ("within_alphabet", "cross_alphabet"):
        given, loaded = (
            evaluate_protocol(MinimalScorer(), protocol, data, **options)
            for data in (CHARACTERS, source)
        )
        assert given["accuracy"] == loaded["accuracy"]
        assert (given["dataset"], given["split"]) == ("characters", "test")
    model = load_model(TINY_MODEL)
    result = evaluate_protocol(model, "verification", CHARACTERS, num_trials=30)
    assert result["closed_set"] is None
    with pytest.raises(InputError, match="no validation split: give"):
        evaluate_protocol(Scorer(), "verification", CHARACTERS)
    nothing = CHARACTERS.select(np.arange(0))
    with pytest.raises(InputError, match="Characters without drawings"):
        evaluate_protocol(Scorer(), "within_alphabet", nothing)
    photos = make_characters((3,), channels=3)
    with pytest.raises(InputError, match="give images with 1 channel"):
        evaluate_protocol(model, "within_alphabet", photos)
    wide = dataclasses.replace(photos, images=photos.images[:, :-1])
    with pytest.raises(InputError, match=r"Characters.resized\("):
        evaluate_protocol(Scorer(), "within_alphabet", wide)


def test_groups_may_be_lists(tmp_path):
    source = dataclasses.replace(
        save_drawings(tmp_path), split_by="group", test_groups=[tmp_path.name]
    )
    result = evaluate_protocol(
        MinimalScorer(), "within_alphabet", source, ways=4, num_trials=4
    )
    assert result["num_classes"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_trials": 0}, "num_trials is 0: expected a whole number, 2 or"),
        ({"num_trials": 1}, "num_trials is 1: expected a whole number, 2 or"),
        ({"num_trials": 2.5}, "num_trials is 2.5: expected a whole number"),
        ({"ways": 0}, "ways is 0: expected a whole number, 1 or more"),
        ({"shots": 0}, "shots is 0: expected a whole number, 1 or more"),
        ({"seed": -1}, "seed is -1: expected a whole number, 0 or more"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message, source):
    with pytest.raises(InputError, match=message):
        evaluate_protocol(Scorer(), "within_alphabet", source, **options)


def test_wrong_models_and_sources_are_refused(glyphs_dir):
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(InputError, match=r"is a Sequential: .* embed and sco"):
        evaluate_protocol(other, "within_alphabet", "glyphs/tiny")
    source = DataSource("glyphs/tiny", data_dir=glyphs_dir)
    with pytest.raises(InputError, match="data_dir=x was given with a source"):
        evaluate_protocol(Scorer(), "within_alphabet", source, data_dir="x")
    with pytest.raises(InputError, match="source is a ndarray: expected"):
        evaluate_protocol(Scorer(), "within_alphabet", CHARACTERS.images)
    with pytest.raises(InputError, match="model is a Characters: expected"):
        evaluate_protocol(CHARACTERS, "within_alphabet", source)
    with pytest.raises(InputError, match="There is no model absent"):
        evaluate_protocol("absent", "within_alphabet", source)
    with pytest.raises(InputError, match="'within_alphabets': expected one"):
        evaluate_protocol(Scorer(), "within_alphabets", source)


@pytest.mark.parametrize(
    ("protocol", "options", "message"),
    [
        ("lake", {}, "source is 'glyphs', but protocol=lake is always"),
        ("lake", {"ways": 5}, "ways=5 has no effect with protocol=lake, which"),
        ("lake", {"seed": 9}, "seed=9 has no effect with protocol=lake: rem"),
        (
            "lake",
            {"split": "all"},
            "split=all has no effect .* always has test",
        ),
        ("verification", {"ways": 5}, "ways=5 has no effect with protocol=ve"),
        ("tutorial", {"shots": 2}, "shots=2 has no effect with protocol=tut"),
    ],
)
def test_options_without_effect_are_refused(protocol, options, message):
    with pytest.raises(InputError, match=message):
        evaluate_protocol(Scorer(), protocol, "glyphs", **options)


def test_protocols_have_their_own_defaults(source):
    result = evaluate_protocol(Scorer(), "mnist", source)
    assert (result["ways"], result["num_trials"]) == (10, 400)
    assert (result["shots"], result["seed"]) == (1, 0)
    result = evaluate_protocol(Scorer(), "tutorial", source)
    assert (result["ways"], result["split"]) == (20, "evaluation")
    with pytest.warns(DataWarning, match="7 cl.* .chance: 14 %.* alone.$"):
        result = evaluate_protocol(Scorer(), "within_alphabet", source)
    assert (result["ways"], result["split"]) == (7, "test")
    source.dataset = "folder"
    with pytest.warns(DataWarning, match="split=all tests every class of it"):
        Evaluator(Scorer(), source).choose_options("within_alphabet", {})
    with pytest.raises(InputError, match="8 ways are more than"):
        evaluate_protocol(Scorer(), "within_alphabet", source, ways=8)


def test_a_model_is_given_by_its_name(glyphs_dir):
    options = {"data_dir": glyphs_dir, "num_trials": 40, "ways": 5}
    for name, model in (
        (TINY_MODEL, load_model(TINY_MODEL)),
        ("pixels_cosine", PixelsCosine()),
    ):
        first, second = (
            evaluate_protocol(x, "within_alphabet", "glyphs/tiny", **options)
            for x in (name, model)
        )
        assert first["accuracy"] == second["accuracy"]


def test_validation_split_is_optional_if_the_threshold_is_known(source):
    def load(split):
        if split == "validation":
            raise InputError("There is no validation split.")
        return CHARACTERS

    source.load = load
    scorer = Scorer()
    options = {"num_trials": 50, "seed": 0}
    with pytest.raises(InputError, match="no validation split"):
        Evaluator(scorer, source).evaluate("verification", **options)
    scorer.same_threshold = -1.0
    result = Evaluator(scorer, source).evaluate("verification", **options)
    assert result["nearest_neighbour"] is None
    assert 0 <= result["accuracy"] <= 1
