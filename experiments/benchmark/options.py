"""What every process of the benchmark is told: data, threads and sizes."""

import dataclasses
from pathlib import Path

import numpy as np

LEVERS = (
    "lever_bfloat16",
    "lever_parts_by_xla",
    "lever_normalisation",
    "lever_whole_step_by_xla",
    "lever_distances_as_product",
    "lever_muon",
    "lever_no_tuning",
    "lever_steps_per_execution",
    "lever_first_convolution",
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The sizes of the full table by default, those of --quick by `quick`.

    Attributes:
        folder: where `data.npz` is, the drawings that all sides use.
        dataset, data_dir: where the drawings, and those of trainings, are from.
        threads: of every side.
        best: whether the rival may use its best settings.
        otherwise: whether a lever is put the other way.
        batch_size: pairs in a batch.
        filters, units: of the paper's network.
        pair_steps, group_steps: steps in a round.
        group: characters in a group, and drawings of each.
        side: of the square matrices whose product is the machine's rate.
        input_batches: batches of the input pipeline in a round.
        num_trials: trials of a round of ours.
        rival_trials: trials that the rival's time is extrapolated from.
        galleries: stored embeddings to match with.
        calls: of `match` in a round.
        num_characters: for which the growth of sampling is measured.
        num_drawings: for which the growth of memory is.
        compile: whether the rival tries torch.compile.
        sampling, seed: of a training.
        target: the validation accuracy that a training is timed to.
        max_minutes: after which such a training is given up.
    """

    folder: str = ""
    dataset: str = "glyphs"
    data_dir: str | None = None
    threads: int = 1
    best: bool = False
    otherwise: bool = False
    batch_size: int = 128
    filters: tuple[int, ...] = (64, 128, 128, 256)
    units: int = 4096
    pair_steps: int = 1
    group_steps: int = 20
    group: tuple[int, int] = (40, 4)
    side: int = 4096
    input_batches: int = 40
    num_trials: int = 400
    rival_trials: int = 20
    galleries: tuple[int, ...] = (20, 1_000, 100_000)
    calls: int = 30
    num_characters: tuple[int, ...] = (1_000, 10_000, 100_000)
    num_drawings: tuple[int, ...] = (5_000, 20_000, 40_000)
    compile: bool = True
    sampling: str = "groups"
    seed: int = 0
    target: float = 0.8
    max_minutes: float = 30.0

    def __post_init__(self):
        """Makes tuples of what JSON has as lists."""
        for name, value in vars(self).items():
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))

    def read(self) -> dict[str, np.ndarray]:
        """The drawings, labels and trials that `data.prepare` wrote."""
        with np.load(Path(self.folder, "data.npz")) as file:
            return dict(file)


QUICK = {
    "batch_size": 8,
    "filters": (8, 8, 8, 8),
    "units": 64,
    "group_steps": 2,
    "group": (8, 2),
    "side": 512,
    "input_batches": 4,
    "num_trials": 20,
    "rival_trials": 2,
    "calls": 3,
    "num_characters": (1_000, 10_000),
    "num_drawings": (2_000, 6_000, 10_000),
    "compile": False,
    "target": 0.2,
    "max_minutes": 0.1,
}
