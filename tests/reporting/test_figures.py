import numpy as np
import pytest
from matplotlib.colors import to_hex

from koch_siamese.reporting import charts, figures
from koch_siamese.sampling.pairs import Pairs
from koch_siamese.sampling.trials import Trials

IMAGES = np.random.default_rng(0).integers(
    256, size=(30, 12, 12), dtype=np.uint8
)


def read_sheet(figure):
    """Images, colors of their frames, and texts, in the order of drawing."""
    (axis,) = figure.axes
    return (
        [image.get_array() for image in axis.get_images()],
        [to_hex(patch.get_edgecolor()) for patch in axis.patches],
        [text.get_text() for text in axis.texts],
    )


BLUE, VERMILION = (color.lower() for color in (figures.BLUE, figures.VERMILION))


def test_pairs_are_named_and_framed_by_kind():
    figure = figures.draw_pairs(IMAGES[:5], IMAGES[5:10], [1, 0, 1, 0, 1], 3)
    images, frames, titles = read_sheet(figure)
    assert titles == ["same", "different", "same", "different", "same"]
    assert frames[:4] == [BLUE, BLUE, VERMILION, VERMILION]
    assert len(images) == 10
    np.testing.assert_array_equal(images[3], IMAGES[6])


def test_images_are_where_the_grid_has_them():
    figure = figures.draw_pairs(IMAGES[:5], IMAGES[5:10], [1, 0, 1, 0, 1], 3)
    places = [image.get_extent() for image in figure.axes[0].get_images()]
    left = [place[0] for place in places]
    upper = [place[3] for place in places]
    # Three pairs side by side, a pair above the other, then two pairs.
    assert left[0] == left[1] == left[6] < left[2] == left[8] < left[4]
    assert upper[0] == upper[2] == upper[4] < upper[1] == upper[3] < upper[6]
    for one, other, bottom, top in places:
        assert other - one == pytest.approx(bottom - top)  # squares


def test_trials_show_mistakes_and_successes():
    support = np.arange(4, 16).reshape(3, 4, 1)
    trials = Trials(np.array([0, 1, 2]), support, np.array([0, 1, 3]))
    scores = np.array([[4.0, 3, 2, 1], [9, 8, 7, 6], [0, 1, 2, 3]])
    figure = figures.draw_trials(IMAGES, trials, scores, num=2)
    images, frames, titles = read_sheet(figure)
    # Trial 1 is wrong: its best is way 0, the truth is way 1.
    assert titles[:5] == ["query", "9.0", "8.0", "7.0", "6.0"]
    assert frames[1:3] == [VERMILION, BLUE]
    assert frames[6] == BLUE
    np.testing.assert_array_equal(images[6], IMAGES[4])


def test_hardest_trials_come_by_how_much_they_are_lost():
    support = np.arange(4, 16).reshape(3, 4, 1)
    trials = Trials(np.array([0, 1, 2]), support, np.array([0, 1, 3]))
    scores = np.array([[4.0, 3, 2, 1], [9, 8, 7, 6], [5, 1, 2, 3]])
    figure = figures.draw_hardest_trials(IMAGES, trials, scores, num=2)
    images, _, _ = read_sheet(figure)
    # Margins: 1, -1 and -2.
    for shown, drawing in zip(images[::5], (2, 1), strict=True):
        np.testing.assert_array_equal(shown, IMAGES[drawing])


def test_an_answer_beyond_the_columns_is_shown_last():
    support = np.arange(4, 28).reshape(2, 12, 1)
    trials = Trials(np.array([0, 0]), support, np.array([11, 2]))
    scores = -np.tile(np.arange(12.0), (2, 1))
    figure = figures.draw_hardest_trials(IMAGES, trials, scores)
    # Both are of one query: the harder one stands for it.
    images, frames, titles = read_sheet(figure)
    assert len(images) == 11
    assert titles[-1] == "-11.0"
    assert frames[-1] == BLUE


def test_filters_have_their_own_contrast():
    filters = np.zeros((2, 2, 1, 3))
    filters[0, 0, 0] = [0.5, -2.0, 1.0]
    images, _, _ = read_sheet(figures.draw_filters(filters))
    assert [image[0, 0] for image in images] == [255, 0, 255]
    assert images[0][1, 1] == 128


def test_curves_name_the_best_epoch(tmp_path):
    history = {"loss": [3.0, 2.0, 1.0], "accuracy": [0.5, 0.8, 0.7]}
    figure = charts.draw_learning_curves(history)
    assert figure.axes[1].get_title() == "best: 80.0 % in epoch 2"
    path = tmp_path / "figures" / "curves.png"
    figures.save_figure(figure, path, tmp_path / "tensorboard")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").iterdir())


def test_verification_stands_beside_the_papers():
    reading = {"accuracy": 0.9, "ci95": [0.89, 0.92]}
    readings = [
        reading | {"drawers": "lake", "different_pairs": "anywhere"},
        reading
        | {"drawers": "own", "different_pairs": "within_alphabet"}
        | {"accuracy": 0.8, "ci95": [0.79, 0.81]},
    ]
    row = {"published": 90.61, "pairs": 30_000, "distorted": False}
    figure = charts.draw_verification(
        [
            row | {"readings": readings},
            row | {"pairs": 90_000, "published": 91.54, "readings": []},
            row | {"distorted": True, "published": 91.9, "readings": []},
        ]
    )
    left, right = figure.axes
    paper, *ours = left.lines
    np.testing.assert_array_equal(paper.get_ydata(), [90.61, 91.54])
    assert 90 in [y for line in ours for y in line.get_ydata()]
    bars = [path for x in left.collections for path in x.get_segments()]
    np.testing.assert_allclose(
        sorted(bar[:, 1].tolist() for bar in bars), [[79, 81], [89, 92]]
    )
    assert len(right.lines) == 1
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "Koch et al. 2015",
        "ours: Lake's drawers, anywhere",
        "ours: drawers 17 to 20, within alphabet",
    ]


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_worst_pairs_of_both_kinds(channels, tmp_path):
    images = np.random.default_rng(0).integers(
        256, size=(8, 100, 50, *channels), dtype=np.uint8
    )
    first, second = np.array([[0, 2, 1, 3, 4, 6, 4], [1, 3, 0, 4, 5, 7, 6]])
    pairs = Pairs(first, second, np.array([1, 1, 1, 1, 0, 0, 0], np.float32))
    scores = np.array([-2.0, 3.0, -2.0, 0.5, 7.25, -1.0, 4.0])
    figure = figures.draw_worst_pairs(images, pairs, scores, num=2)
    shown, frames, titles = read_sheet(figure)
    # The pair of drawings 0 and 1 occurs twice.
    assert titles == ["same -2.0", "same 0.5", "different 7.2", "different 4.0"]
    assert frames == [BLUE, BLUE, VERMILION, VERMILION]
    for image, (one, other) in zip(
        shown, ((0, 1), (3, 4), (4, 5), (4, 6)), strict=True
    ):
        image = np.asarray(image).reshape(100, 102, *channels)
        np.testing.assert_array_equal(image[:, :50], images[one])
        np.testing.assert_array_equal(image[:, 52:], images[other])
        assert (image[:, 50:52] == 127).all()
    figures.save_figure(figure, tmp_path / "worst_pairs.png")


def test_worst_pairs_fill_rows_of_either_kind():
    pairs = Pairs(np.arange(10), np.arange(10, 20), np.arange(10) < 7)
    figure = figures.draw_worst_pairs(IMAGES, pairs, np.arange(10.0))
    tops = [image.get_extent()[3] for image in figure.axes[0].get_images()]
    assert len(set(tops[:6])) == len(set(tops[7:])) == 1
    assert tops[5] < tops[6] < tops[7]
