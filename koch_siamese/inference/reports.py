"""Reports of a recognizer: its error rates, and what it gets wrong."""

import dataclasses
from collections.abc import Collection, Sequence

from koch_siamese.evaluation.calibration import Calibration
from koch_siamese.evaluation.metrics import wilson_interval
from koch_siamese.inference.gallery import Answer


def _show(report):
    """Shows a report with rounded numbers."""
    shown = [
        f"{field.name}={_round(getattr(report, field.name))}"
        for field in dataclasses.fields(report)
        if field.repr
    ]
    return f"{type(report).__name__}({', '.join(shown)})"


def _round(value):
    if isinstance(value, float):
        return round(float(value), 4)
    return tuple(map(_round, value)) if isinstance(value, tuple) else value


@dataclasses.dataclass(frozen=True)
class CalibrationReport:
    """Calibrated thresholds, and the error rates on the calibration images.

    All rates are within 0..1.

    Attributes:
        num_images, num_characters: the size of the calibration set. With fewer
            than 20 characters, do not rely on the thresholds.
        same: the threshold of `verify`.
        accuracy: the fraction of random pairs, half of them of the same
            character, that it classifies correctly.
        false_accepts, false_rejects: the fraction of different pairs that count
            as the same, and of same pairs that count as different.
        ways: the number of candidates that the remaining attributes apply to.
        none_of_these: the threshold of `classify` for this many candidates.
        strangers_named: the fraction of queries that get a name although their
            character is absent. Measured with one example of each candidate,
            and as many images of each character as the smallest one has.
        right_where_present: the fraction of queries that get the right name if
            their character is present.
    """

    num_images: int
    num_characters: int
    same: float
    accuracy: float
    false_accepts: float
    false_rejects: float
    ways: int
    none_of_these: float
    strangers_named: float
    right_where_present: float

    __repr__ = _show

    @classmethod
    def from_calibration(
        cls, calibration: Calibration, num_images: int
    ) -> "CalibrationReport":
        """Makes a report of a calibration with `num_images` images."""
        same = calibration.report["same"]
        absent = calibration.report["none_of_these"]
        return cls(
            num_images=num_images,
            num_characters=calibration.report["num_characters"],
            same=same["logit"],
            accuracy=same["accuracy"],
            false_accepts=same["false_accepts"],
            false_rejects=same["false_rejects"],
            ways=absent["ways"],
            none_of_these=absent["logit"],
            strangers_named=absent["false_accepts"],
            right_where_present=absent["right_where_present"],
        )


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An image that was classified incorrectly.

    Attributes:
        name: the character that it shows.
        answer: the answer to it. For an unknown character, any name is a
            mistake.
    """

    name: str
    answer: Answer


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How well labeled images are recognized.

    Attributes:
        num_images: the number of images of known characters.
        accuracy: the fraction whose best candidate is right, even if its score
            is too low for a name, within 0..1. It may be far above `num_right /
            num_images`. None if there are no such images.
        ci95: its Wilson interval.
        num_right, num_wrong, num_withheld: images of known characters that get
            the right name, a wrong one, or none because of the threshold; their
            sum is `num_images`.
        num_strangers, num_strangers_named: images of unknown characters, and
            how many of them get a name.
        mistakes: in order, the images that are named incorrectly, or not named
            although their character is known.
    """

    num_images: int
    accuracy: float | None
    ci95: tuple[float, float] | None
    num_right: int
    num_wrong: int
    num_withheld: int
    num_strangers: int
    num_strangers_named: int
    mistakes: tuple[Mistake, ...] = dataclasses.field(repr=False)

    __repr__ = _show

    @classmethod
    def from_answers(
        cls,
        names: Sequence[str],
        answers: Sequence[Answer],
        known: Collection[str],
    ) -> "Evaluation":
        """Compares answers with the names of what the images show.

        Args:
            names, answers: of each image.
            known: the names of all known characters.
        """
        pairs = list(zip(names, answers, strict=True))
        of_known = [(x, answer) for x, answer in pairs if x in known]
        strangers = [answer for x, answer in pairs if x not in known]
        num_best = sum(answer.best.name == x for x, answer in of_known)
        num_right = sum(answer.name == x for x, answer in of_known)
        num_withheld = sum(answer.name is None for _, answer in of_known)
        num = len(of_known)
        return cls(
            num_images=num,
            accuracy=num_best / num if num else None,
            ci95=tuple(wilson_interval(num_best, num)) if num else None,
            num_right=num_right,
            num_wrong=num - num_right - num_withheld,
            num_withheld=num_withheld,
            num_strangers=len(strangers),
            num_strangers_named=sum(x.name is not None for x in strangers),
            mistakes=tuple(
                Mistake(name, answer)
                for name, answer in pairs
                if answer.name != (name if name in known else None)
            ),
        )
