import numpy as np
import pytest

from koch_siamese.errors import InputError
from koch_siamese.evaluation.baselines import (
    ModifiedHausdorff,
    PixelsCosine,
    PixelsEuclidean,
    modified_hausdorff_distance,
)
from koch_siamese.evaluation.protocols import PROTOCOLS
from koch_siamese.evaluation.scoring import EmbeddedDrawings, evaluate_trials

INK, PAPER = 0, 255


def draw(*rows):
    ink = [[[INK if x == "#" else PAPER] for x in row] for row in rows]
    return np.array([ink])


def score(scorer, first, second):
    first, second = first.astype(np.uint8), second.astype(np.uint8)
    return float(scorer.score(scorer.embed(first), scorer.embed(second))[0])


def test_pixel_baselines_by_hand():
    first, second = draw("##.", "..."), draw("#..", "#..")
    # Each has two pixels of ink, one of them in common; two pixels differ.
    assert score(PixelsCosine(), first, second) == pytest.approx(0.5)
    assert score(PixelsEuclidean(), first, second) == pytest.approx(-(2**0.5))
    assert score(PixelsCosine(), first, first) == pytest.approx(1.0)
    blank = draw("...", "...")
    assert score(PixelsCosine(), first, blank) == 0.0


def test_differences_of_uint8_do_not_wrap_around():
    light, dark = np.full((1, 1, 1), 250), np.full((1, 1, 1), 5)
    assert score(PixelsEuclidean(), light, dark) == pytest.approx(-245 / 255)


def test_modified_hausdorff_by_hand():
    first = np.array([[0.0, 0.0], [0.0, 3.0]])
    second = np.array([[0.0, 0.0]])
    # The mean distance is (0 + 3) / 2 forward and 0 backward.
    assert modified_hausdorff_distance(first, second) == 1.5
    assert modified_hausdorff_distance(second, first) == 1.5


def test_modified_hausdorff_of_integers_and_of_blank_images():
    first, second = np.array([[0, 0], [0, 1], [5, 5]]), np.array([[0, 0]])
    expected = (0 + 1 + 50**0.5) / 3
    for a, b in ((first, second), (second, first)):
        assert modified_hausdorff_distance(a, b) == pytest.approx(expected)
    with pytest.raises(ValueError, match="empty"):
        modified_hausdorff_distance(first, second[:0])


def test_modified_hausdorff_of_many_points():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(150, 2)), rng.normal(size=(200, 2))
    distances = np.linalg.norm(first[:, None] - second, axis=-1)
    expected = max(distances.min(axis=i).mean() for i in range(2))
    for a, b in ((first, second), (second, first)):
        assert modified_hausdorff_distance(a, b) == pytest.approx(expected)


def test_modified_hausdorff_ignores_translation():
    first = draw("#....", "##...", ".....")
    second = draw(".....", "...#.", "...##")
    distance = -score(ModifiedHausdorff(), first, second)
    assert distance == pytest.approx(0.0, abs=1e-6)
    # From their centers, the columns of ink are 0, and -1, 0 and 1.
    found = score(ModifiedHausdorff(), draw("#.."), draw("###"))
    assert found == pytest.approx(-2 / 3)


def test_modified_hausdorff_takes_dark_pixels_as_ink():
    grays = np.array([[[[127], [128], [0]]]])
    (points,) = ModifiedHausdorff().embed(grays)
    np.testing.assert_array_equal(points, [[0, -1], [0, 1]])


def test_modified_hausdorff_refuses_blank_drawings_and_photos():
    with pytest.raises(InputError, match="blank"):
        ModifiedHausdorff().embed(draw("...", "...").astype(np.uint8))
    with pytest.raises(InputError, match="but these are photos"):
        ModifiedHausdorff().embed(np.zeros((1, 2, 2, 3), np.uint8))


@pytest.mark.parametrize(
    ("scorer", "accuracy"),
    [
        (PixelsCosine(), 0.2175),
        (PixelsEuclidean(), 0.19),
        pytest.param(ModifiedHausdorff(), 0.6125, marks=pytest.mark.slow),
    ],
)
def test_baselines_have_the_known_accuracy_on_official_trials(
    official_characters, scorer, accuracy
):
    trials = PROTOCOLS["lake"].sample(official_characters)
    result = evaluate_trials(
        EmbeddedDrawings(scorer, official_characters.images), trials
    )
    assert result["accuracy"] == accuracy
    assert result["num_trials"] == 400
