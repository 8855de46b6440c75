import numpy as np

from koch_siamese.reporting import charts, figures
from koch_siamese.sampling.trials import Trials

IMAGES = np.random.default_rng(0).integers(
    256, size=(30, 12, 12), dtype=np.uint8
)


def frame(axis):
    return next(iter(axis.spines.values())).get_edgecolor()


def color(name):
    from matplotlib.colors import to_rgba

    return to_rgba(name)


def test_pairs_are_named_and_framed_by_kind():
    figure = figures.draw_pairs(IMAGES[:5], IMAGES[5:10], [1, 0, 1, 0, 1], 3)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["same", "different", "same", "different", "same"]
    assert frame(figure.axes[0]) == color(figures.BLUE)
    assert frame(figure.axes[1]) == color(figures.VERMILION)


def test_trials_show_mistakes_and_successes():
    support = np.arange(4, 16).reshape(3, 4, 1)
    trials = Trials(np.array([0, 1, 2]), support, np.array([0, 1, 3]))
    scores = np.array([[4.0, 3, 2, 1], [9, 8, 7, 6], [0, 1, 2, 3]])
    figure = figures.draw_trials(IMAGES, trials, scores, num=2)
    rows = np.array(figure.axes).reshape(2, 5)
    # Trial 1 is wrong: it says way 0, the truth is way 1.
    assert [axis.get_title() for axis in rows[0]] == [
        "query",
        "9.0",
        "8.0",
        "7.0",
        "6.0",
    ]
    assert frame(rows[0, 1]) == color(figures.VERMILION)
    assert frame(rows[0, 2]) == color(figures.BLUE)
    assert frame(rows[1, 1]) == color(figures.BLUE)
    shown = rows[1, 1].get_images()[0].get_array()
    np.testing.assert_array_equal(shown, IMAGES[4])


def test_hardest_trials_come_by_how_much_they_are_lost():
    support = np.arange(4, 16).reshape(3, 4, 1)
    trials = Trials(np.array([0, 1, 2]), support, np.array([0, 1, 3]))
    scores = np.array([[4.0, 3, 2, 1], [9, 8, 7, 6], [5, 1, 2, 3]])
    figure = figures.draw_hardest_trials(IMAGES, trials, scores, num=2)
    queries = np.array(figure.axes).reshape(2, 5)[:, 0]
    # Margins: 1, -1 and -2.
    for axis, drawing in zip(queries, (2, 1), strict=True):
        shown = axis.get_images()[0].get_array()
        np.testing.assert_array_equal(shown, IMAGES[drawing])


def test_an_answer_beyond_the_columns_is_shown_last():
    support = np.arange(4, 28).reshape(2, 12, 1)
    trials = Trials(np.array([0, 0]), support, np.array([11, 2]))
    scores = -np.tile(np.arange(12.0), (2, 1))
    figure = figures.draw_hardest_trials(IMAGES, trials, scores)
    # Both are of one query: the harder one stands for it.
    last = figure.axes[-1]
    assert len(figure.axes) == 11
    assert last.get_title() == "-11.0"
    assert frame(last) == color(figures.BLUE)


def test_curves_name_the_best_epoch(tmp_path):
    history = {"loss": [3.0, 2.0, 1.0], "accuracy": [0.5, 0.8, 0.7]}
    figure = charts.draw_learning_curves(history)
    assert figure.axes[1].get_title() == "best: 80.0 % in epoch 2"
    path = tmp_path / "figures" / "curves.png"
    figures.save_figure(figure, path, tmp_path / "tensorboard")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").iterdir())
