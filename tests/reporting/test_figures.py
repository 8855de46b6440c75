import numpy as np
import pytest
from matplotlib.colors import to_hex

from koch_siamese.errors import InputError
from koch_siamese.inference.gallery import Answer, Candidate, Verdict
from koch_siamese.reporting import charts, colors, figures, image_grid
from koch_siamese.sampling.pairs import Pairs
from koch_siamese.sampling.trials import Trials

IMAGES = np.random.default_rng(0).integers(
    256, size=(30, 12, 12), dtype=np.uint8
)


def read_grid(figure):
    """Returns images, colors of frames and texts, in the order of drawing."""
    (axis,) = figure.axes
    return (
        [image.get_array() for image in axis.get_images()],
        [to_hex(patch.get_edgecolor()) for patch in axis.patches],
        [text.get_text() for text in axis.texts],
    )


BLUE, VERMILION, FAINT = (
    color.lower() for color in (colors.SAME, colors.DIFFERENT, colors.FAINT)
)


def test_pairs_are_named_and_framed_by_kind():
    figure = figures.draw_pairs(IMAGES[:5], IMAGES[5:10], [1, 0, 1, 0, 1], 3)
    images, frames, titles = read_grid(figure)
    assert titles == ["same", "different", "same", "different", "same"]
    assert frames[:4] == [BLUE, BLUE, VERMILION, VERMILION]
    assert len(images) == 10
    np.testing.assert_array_equal(images[3], IMAGES[6])


def test_pairs_can_have_names_of_their_own():
    figure = figures.draw_pairs(
        IMAGES[:2], IMAGES[2:4], [1, 1], names=("before", "after")
    )
    _, _, titles = read_grid(figure)
    assert titles == ["before", "after", "before", "after"]


def test_pairs_that_would_be_drawn_wrongly_are_refused():
    scaled = IMAGES[:2] / 255
    with pytest.raises(InputError, match="no value above 1: expected 0 = bl"):
        figures.draw_pairs(scaled, scaled, [1, 0])
    with pytest.raises(InputError, match="2, 2 and 3 entries"):
        figures.draw_pairs(IMAGES[:2], IMAGES[:2], [1, 0, 1])
    black = np.zeros_like(IMAGES[:2])
    figures.draw_pairs(black, IMAGES[:2], [1, 0])


def test_few_pairs_make_a_narrow_figure():
    narrow, wide = (
        figures.draw_pairs(IMAGES[:n], IMAGES[:n], np.ones(n)).get_figwidth()
        for n in (2, 8)
    )
    assert wide / narrow == pytest.approx(4, rel=0.05)


def test_images_are_drawn_at_their_grid_position():
    figure = figures.draw_pairs(IMAGES[:5], IMAGES[5:10], [1, 0, 1, 0, 1], 3)
    places = [image.get_extent() for image in figure.axes[0].get_images()]
    left = [place[0] for place in places]
    upper = [place[3] for place in places]
    # Three pairs side by side, each with its images one above the other, and
    # two pairs below.
    assert left[0] == left[1] == left[6] < left[2] == left[8] < left[4]
    assert upper[0] == upper[2] == upper[4] < upper[1] == upper[3] < upper[6]
    for one, other, bottom, top in places:
        assert other - one == pytest.approx(bottom - top)  # squares


def test_trials_show_right_answers_then_wrong_ones():
    support = np.arange(4, 16).reshape(3, 4, 1)
    trials = Trials(np.array([0, 1, 2]), support, np.array([0, 1, 3]))
    scores = np.array([[4.0, 3, 2, 1], [9, 8, 7, 6], [0, 1, 2, 3]])
    figure = figures.draw_trials(IMAGES, trials, scores, num=2)
    images, frames, titles = read_grid(figure)
    # Trial 1 is wrong: way 0 has the best score, but way 1 is correct.
    assert titles[5:] == ["query", "9.0", "8.0", "7.0", "6.0"]
    assert frames[6:8] == [VERMILION, BLUE]
    assert frames[1] == BLUE
    np.testing.assert_array_equal(images[1], IMAGES[4])
    assert (
        figure.get_suptitle()
        .replace("\n", " ")
        .startswith(
            "Examples of trials, of which 66.67 % are right. Query, then its 4 "
            "candidates, best"
        )
    )
    # Scores of an untrained model hardly differ.
    figure = figures.draw_trials(IMAGES, trials, scores / 100, num=2)
    assert read_grid(figure)[2][5:7] == ["query", "0.090"]


@pytest.mark.parametrize("is_right", [True, False])
def test_trials_of_one_kind_fill_the_figure(is_right):
    support = np.tile(np.arange(4, 8).reshape(1, 4, 1), (5, 1, 1))
    answer = np.zeros(5, int) if is_right else np.ones(5, int)
    trials = Trials(np.arange(5), support, answer)
    scores = np.tile(np.arange(4.0)[::-1], (5, 1))
    figure = figures.draw_trials(IMAGES, trials, scores, num=3)
    assert read_grid(figure)[2].count("query") == 3


def test_hardest_trials_are_sorted_by_margin():
    support = np.arange(4, 16).reshape(3, 4, 1)
    trials = Trials(np.array([0, 1, 2]), support, np.array([0, 1, 3]))
    scores = np.array([[4.0, 3, 2, 1], [9, 8, 7, 6], [5, 1, 2, 3]])
    figure = figures.draw_hardest_trials(IMAGES, trials, scores, num=2)
    images, _, _ = read_grid(figure)
    # Margins: 1, -1 and -2.
    for shown, drawing in zip(images[::5], (2, 1), strict=True):
        np.testing.assert_array_equal(shown, IMAGES[drawing])


def test_answer_that_does_not_fit_is_shown_last():
    support = np.arange(4, 28).reshape(2, 12, 1)
    trials = Trials(np.array([0, 0]), support, np.array([11, 2]))
    scores = -np.tile(np.arange(12.0), (2, 1))
    figure = figures.draw_hardest_trials(IMAGES, trials, scores)
    # Both trials have the same query, so only the harder one is shown.
    images, frames, titles = read_grid(figure)
    assert len(images) == 11
    assert titles[-1] == "#12: -11.0"
    assert frames[-1] == BLUE
    assert "the best of 12 candidates and the right one" in (
        figure.get_suptitle().replace("\n", " ")
    )


def answer(name, *names):
    """Makes an answer with scores 9.04, 8.04, ...; None: none of these."""
    candidates = [
        Candidate(x, 9.04 - place, None) for place, x in enumerate(names)
    ]
    return Answer(name, tuple(candidates), 9.5)


def test_answers_show_the_accepted_one_in_blue():
    figure = figures.draw_answers(
        IMAGES[:2],
        IMAGES[2:5],
        ["ka", "ka", "ki"],
        [answer("ka", "ka", "ki"), answer(None, "ki", "ka")],
        ["a.png", "b$$.png"],
    )
    images, frames, titles = read_grid(figure)
    assert titles == [
        *("a.png\n", "ka\n9.0", "ki\n8.0"),
        *("b$$.png\nnone of these", "ki\n9.0", "ka\n8.0"),
    ]
    assert frames == ["#000000", BLUE, FAINT, "#000000", FAINT, FAINT]
    np.testing.assert_array_equal(images[1], IMAGES[2])


@pytest.mark.filterwarnings("ignore:Glyph .* missing")
def test_names_of_any_length_do_not_overlap():
    names = ["W" * 14, "fourteen chars", "あ" * 14, "a" * 200]
    answers = [answer(x, x, y) for x, y in zip(names, names[::-1], strict=True)]
    figure = figures.draw_answers(
        IMAGES[:4], IMAGES[4:8], names, answers, names
    )
    figure.set_dpi(figures.DPI)
    boxes = [x.get_window_extent() for x in figure.axes[0].texts]
    assert len(boxes) == 12  # a query and two candidates in each row
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width


def test_titles_keep_off_the_frames_above_them():
    names = ["ka"] * 4
    figure = figures.draw_answers(
        IMAGES[:4], IMAGES[4:8], names, [answer(None, "ka")] * 4, names
    )
    figure.set_dpi(figures.DPI)
    (axis,) = figure.axes
    frames = [x.get_window_extent() for x in axis.patches]
    title = axis.texts[6].get_window_extent()  # of the second row
    lowest = min(frame.y0 for frame in frames if frame.y0 > title.y1)
    assert lowest - title.y1 > 5  # pixels; a frame is 4 wide


def test_a_heading_stays_within_its_figure():
    figure = figures.draw_answers(
        IMAGES[:1], IMAGES[1:2], ["ka"], [answer("ka", "ka")]
    )
    figure.set_dpi(figures.DPI)
    heading = figure._suptitle.get_window_extent()
    assert heading.x0 >= 0 and heading.x1 <= figure.bbox.width
    assert heading.y1 <= figure.bbox.height


def test_a_long_name_keeps_both_ends():
    assert image_grid.fit_text("ka.png", 80) == "ka.png"
    short = image_grid.fit_text("photograph_of_the_17th_of_may.jpg", 80)
    head, tail = short.split("…")
    assert "photograph_of_the_17th_of_may.jpg".startswith(head)
    assert tail.endswith(".jpg")


@pytest.mark.parametrize(
    ("same", "color", "heading"),
    [
        (True, BLUE, "same: score 4.00, threshold 2.50"),
        (False, VERMILION, "different: score 4.00, threshold 2.50"),
        (None, FAINT, "score 4.00"),
    ],
)
def test_a_verdict_has_its_color(same, color, heading):
    threshold = None if same is None else 2.5
    figure = figures.draw_verdict(
        IMAGES[0], IMAGES[1], Verdict(same, 4.0, None, threshold)
    )
    assert read_grid(figure)[1] == [color, color]
    assert figure.get_suptitle() == heading


def test_confusions_are_counted_in_either_direction():
    character = np.repeat(np.arange(15), 2)
    trials = Trials(
        np.array([0, 2, 4, 6]),
        np.array([[1, 3], [3, 1], [5, 7], [7, 5]])[..., np.newaxis],
        np.zeros(4, int),
    )
    scores = np.array([[0.0, 1], [0, 1], [0, 1], [1, 0]])
    figure = figures.draw_confusions(IMAGES, character, trials, scores)
    _, frames, titles = read_grid(figure)
    assert titles == ["2 times", "once"]
    assert frames == [VERMILION, VERMILION]
    assert figure.get_suptitle().startswith("3 of 4 validation trials are")
    right = figures.draw_confusions(IMAGES, character, trials, -scores + 1)
    assert right.get_suptitle().startswith("1 of 4")


def test_filters_have_their_own_contrast():
    filters = np.zeros((2, 2, 1, 4), np.float32)
    filters[0, 0, 0] = [0.5, -2.0, 1.0, 0.0]
    images, _, _ = read_grid(figures.draw_filters(filters))
    assert [image[0, 0] for image in images] == [255, 0, 255, 128]
    assert images[0][1, 1] == 128


def test_curves_name_the_best_epoch(tmp_path):
    history = {"loss": [3.0, 2.0, 1.0], "accuracy": [0.5, 0.8, 0.7]}
    figure = charts.draw_learning_curves(history)
    assert figure.axes[1].get_title() == "best: 80.0 % (epoch 2)"
    assert figure.axes[1].get_ylim() == (40, 100)
    path = tmp_path / "figures" / "curves.png"
    figures.save_figure(figure, path, tmp_path / "tensorboard")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").iterdir())


def test_score_histogram_shows_accuracy():
    scores = np.array([-2.0, -1.0, 3.0, 1.0])
    same = np.array([0.0, 1.0, 1.0, 1.0])
    figure = charts.draw_score_histogram(scores, same, 0.5)
    (axis,) = figure.axes
    assert axis.get_title() == "75.0 % of 4 pairs are classified correctly"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "different characters",
        "same character",
        "threshold: same from 0.50",
    ]
    charts.draw_score_histogram(np.zeros(1), np.ones(1), 0.5)


def test_a_roc_has_its_points_in_a_legend():
    figure = charts.draw_roc(
        np.array([0, 0.2, 1]), np.array([0, 0.8, 1]), (0.1, 0.7)
    )
    (axis,), (legend,) = figure.axes, figure.legends
    assert axis.get_xlabel() == "false positive rate"
    assert axis.get_ylabel() == "true positive rate"
    assert [text.get_text() for text in legend.get_texts()] == [
        "guessing",
        "model",
        "equal error rate (EER): 20.0 %",
        "threshold: 10.0 % false, 70.0 % true positives",
    ]
    *_, equal, at_threshold = axis.lines
    np.testing.assert_allclose(equal.get_xydata(), [[0.2, 0.8]])
    np.testing.assert_allclose(at_threshold.get_xydata(), [[0.1, 0.7]])


@pytest.mark.parametrize("num", [1, 3])
def test_search_chart_names_its_best_run(num):
    runs = [
        {
            "run": i,
            "accuracy": 0.3 + 0.1 * i,
            "finished": i != 1,
            "parameters": {"learning_rate_0": 0.01, "l2_0": 0.1, "l2_1": 0.2},
        }
        for i in range(num)
    ]
    figure = charts.draw_search(runs)
    top, bottom = figure.subfigs
    (legend,) = top.legends
    expected = ["best so far", "best"]
    if num == 3:
        expected[1:1] = ["stopped early", "finished"]
    assert [text.get_text() for text in legend.get_texts()] == expected
    assert top.axes[0].get_title() == (
        f"accuracy of each run, at best {20 + 10 * num}.0 %"
    )
    assert [axis.get_xlabel() for axis in bottom.axes] == [
        *("learning rate, layer 1", "", "L2, layer 1", "L2, layer 2")
    ]
    _, bottom = charts.draw_search(runs, relative_updates=True).subfigs
    assert bottom.axes[0].get_xlabel() == "relative update, layer 1"


def test_verification_chart_shows_the_papers_values():
    reading = {"accuracy": 0.9, "ci95": [0.89, 0.92]}
    readings = [
        reading | {"drawers": "lake", "different_pairs": "anywhere"},
        reading
        | {"drawers": "own", "different_pairs": "within_alphabet"}
        | {"accuracy": 0.8, "ci95": [0.79, 0.81]},
    ]
    row = {"published": 90.61, "pairs": 30_000, "distorted": False}
    row |= {"searched": False, "epochs": "6 of 200"}
    figure = charts.draw_verification(
        [
            row | {"readings": readings[1:]},
            row | {"readings": readings[:1], "searched": True},
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
    assert [x.get_text() for x in left.texts] == 2 * ["6 of 200 epochs"]
    assert [x.xy[1] for x in left.texts] == pytest.approx([80, 90])
    assert not right.texts
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "Koch et al. 2015",
        "ours, values of a search: Lake's drawers, different pairs from "
        "anywhere",
        "ours, first values: drawers 17 to 20, different pairs within an "
        "alphabet",
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
    shown, frames, titles = read_grid(figure)
    # The pair of drawings 0 and 1 occurs twice, but is shown once.
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


def test_each_kind_of_worst_pairs_starts_a_new_row():
    pairs = Pairs(np.arange(10), np.arange(10, 20), np.arange(10) < 7)
    figure = figures.draw_worst_pairs(IMAGES, pairs, np.arange(10.0))
    tops = [image.get_extent()[3] for image in figure.axes[0].get_images()]
    assert len(set(tops[:6])) == len(set(tops[7:])) == 1
    assert tops[5] < tops[6] < tops[7]
