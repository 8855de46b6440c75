"""The rows of the benchmark, and the options of its processes."""

import dataclasses
import math
import pickle
from pathlib import Path

from koch_siamese.backend import import_tensorflow

RIVALS = ("rival", "rival_best")
STEPS = {  # sampling and precision
    "train_step": ("pairs", "float32"),
    "train_step_bfloat16": ("pairs", "bfloat16"),
    "train_step_groups": ("groups", "float32"),
    "train_step_groups_bfloat16": ("groups", "bfloat16"),
}
LEVERS = (
    "lever_bfloat16",
    "lever_parts_by_xla",
    "lever_normalisation",
    "lever_whole_step_by_xla",
    "lever_distances_as_product",
    "lever_distances_in_a_loop",
    "lever_muon",
    "lever_no_tuning",
    "lever_steps_per_execution",
    "lever_spectral",
    "lever_first_convolution",
)
PLAIN = ("start", "growth")  # without TensorFlow
TRAININGS = ("learning", "time_to_accuracy")  # in full, with several seeds

# The sides of each row.
ROWS = {
    **dict.fromkeys(STEPS, ("ours", *RIVALS)),
    **dict.fromkeys(("input", "evaluation", "serving"), ("ours", *RIVALS)),
    **dict.fromkeys(PLAIN, ("ours",)),
    **dict.fromkeys(("query", *LEVERS, "learning"), ("ours", "otherwise")),
    "time_to_accuracy": ("ours",),
}
# Rows that are not in the default take minutes or hours.
DEFAULT_ROWS = [row for row in ROWS if row not in (*LEVERS, *TRAININGS)]
NO_DATA = ("serving", "query", *PLAIN, *TRAININGS)


def size(full, quick):
    """Makes a field with the sizes for the table and for --quick."""
    return dataclasses.field(default=full, metadata={"quick": quick})


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a workload."""

    side: str = "ours"  # or otherwise, rival, rival_best
    seed: int = 0  # of a whole training
    quick: bool = size(False, quick=True)
    dataset: str = size("glyphs", quick="glyphs/tiny")
    data_dir: str | None = None
    folder: str = ""  # of the drawings that all sides use
    workdir: str = ""  # of the runs of time_to_accuracy
    target: float = size(0.8, quick=0.2)  # accuracy that ends `learning`
    batch_size: int = size(128, quick=8)  # pairs in a batch
    group: tuple[int, int] = size((40, 4), quick=(8, 2))  # characters, drawings
    pair_steps: int = 1  # steps in a round
    group_steps: int = size(20, quick=2)
    # Of the paper's network.
    filters: tuple[int, ...] = size((64, 128, 128, 256), quick=(8, 8, 8, 8))
    units: int = size(4096, quick=64)
    matrix: int = size(
        4096, quick=512
    )  # rows of the matrices that measure the machine's rate
    input_batches: int = size(40, quick=4)  # in a round
    num_trials: int = size(400, quick=20)
    rival_trials: int = size(20, quick=2)  # to extrapolate from
    galleries: tuple[int, ...] = (20, 1_000, 100_000)  # stored embeddings
    calls: int = size(30, quick=3)  # for each gallery in a round
    num_characters: tuple[int, ...] = size(
        (1_000, 10_000, 100_000), quick=(1_000, 10_000)
    )
    num_drawings: tuple[int, ...] = size(
        (5_000, 20_000, 40_000), quick=(2_000, 6_000, 10_000)
    )

    def get_sizes(self, sampling: str) -> tuple[int, int]:
        """Returns the pairs or drawings in a batch, and steps in a round."""
        if sampling == "pairs":
            return self.batch_size, self.pair_steps
        return math.prod(self.group), self.group_steps

    def prepare(self):
        """Writes the drawings and trials that all sides use."""
        import_tensorflow()
        from koch_siamese.data.sources import DataSource
        from koch_siamese.evaluation.protocols import PROTOCOLS

        source = DataSource(self.dataset, data_dir=self.data_dir)
        test = source.load("test")
        protocol = "lake" if self.dataset == "omniglot" else "within_alphabet"
        trials = PROTOCOLS[protocol].sample(test, num_trials=self.num_trials)
        with Path(self.folder, "data.pickle").open("wb") as file:
            pickle.dump((source.load("training"), test.images, trials), file)

    def load(self):
        """Loads the prepared training drawings, test images and trials."""
        return pickle.loads(Path(self.folder, "data.pickle").read_bytes())


QUICK = {
    field.name: field.metadata["quick"]
    for field in dataclasses.fields(Options)
    if field.metadata
}
