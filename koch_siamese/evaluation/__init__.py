"""Evaluation of models: protocols, metrics, calibration, baselines.

    python -m koch_siamese.evaluate --workdir=W --protocol=P
    python -m koch_siamese.evaluate --model=hausdorff --protocol=lake

- `lake`: the official 400 on Omniglot, 20-way, one shot
- `within_alphabet`: random; candidates of one alphabet, as in the paper
- `cross_alphabet`: random; candidates of all alphabets: easier, not comparable
  with the others
- `verification`: random pairs, half of them of the same character: accuracy
  at the stored threshold, ROC AUC, equal error rate, true accept rates at 1 %
  and 0.1 % false accepts
- `mnist`: random, 10-way, on a TFDS data set that was not trained on: MNIST,
  or `--dataset=emnist/letters` and others
- `tutorial`: as in the tutorial's source; only to compare with its results

Query and supports are by different drawers; where a data set has no drawers,
they are different images. Tied candidates share the credit. Accuracies come
with a 95 % interval (Wilson), which is for other trials of these classes. For
other classes it is wider: `classes_ci95` in a result, by a bootstrap over the
classes of the queries or pairs. `--ways`, `--shots`, `--num_trials`, `--seed`
and `--split` change the random protocols.

`--model` takes a model file, the directory of a run, the folder of
`Recognizer.save`, `pretrained`, `pretrained_large`, or a baseline:
`pixels_cosine`, `pixels_euclidean`, `hausdorff`. `--output=FILE` writes the
result, as a row if the name ends in `.csv`. `--predictions=FILE.csv` lists the
score of every candidate or pair, `--per_class=FILE.csv` the accuracy of every
class.

In Python, `koch_siamese.evaluate_protocol(model, "within_alphabet", "glyphs")`
measures a model, or its file, run or name as in `--model`, and returns the
result as a dict. It draws 400 trials by default. The command draws as many as
the run in `--workdir`, or else 1000.

# Models and protocols of your own

`evaluate_protocol` also takes a model that was built by
`koch_siamese.models.siamese.build_siamese` and trained by Keras alone, and any
object with the methods `embed` and `score`:

    import numpy as np

    import koch_siamese

    class Profiles:
        def embed(self, images):  # uint8 [num, height, width, 1], 0 = ink
            ink = 255.0 - images[..., 0]
            return np.concatenate([ink.mean(1), ink.mean(2)], axis=1)

        def score(self, first, second):  # [num, dim]; higher: more alike
            return -np.abs(first - second).sum(axis=1)

    scorer = Profiles()
    result = koch_siamese.evaluate_protocol(scorer, "within_alphabet", "glyphs")
    print(result["accuracy"], result["ci95"])

`Trials` holds the trials of a protocol of your own: the indices of queries and
candidates, and which candidate is right. Here, a trial has two candidates of
random characters, of which the first is right:

    from koch_siamese.evaluation.scoring import (
        EmbeddedDrawings,
        evaluate_trials,
    )
    from koch_siamese.sampling.trials import Trials

    characters = koch_siamese.load_characters("glyphs", "test")
    rng = np.random.default_rng(0)
    query, support = [], []
    for _ in range(100):
        chosen = rng.choice(np.unique(characters.character), 2, replace=False)
        first, second = (
            rng.permutation(np.flatnonzero(characters.character == x))
            for x in chosen
        )
        query.append(first[0])
        support.append([[first[1]], [second[0]]])  # [ways, shots]
    answer = np.zeros(100, int)  # the first candidate
    trials = Trials(np.array(query), np.array(support), answer)
    drawings = EmbeddedDrawings(scorer, characters.images)
    print(evaluate_trials(drawings, trials)["accuracy"])

The scorer of a siamese model is `koch_siamese.models.scorer.SiameseScorer`.

Intervals of ROC AUC, equal error rate and true accept rates are computed by a
bootstrap over classes, since pairs of one character are not independent (the
vertex bootstrap of Fogliato, Patil and Perona 2024, arXiv:2306.01198). They
need ten classes. A true accept rate at 0.1 % false accepts needs at least 1,000
different pairs: `--num_trials=2000`, better 10000.

# Thresholds

At the end of a training two thresholds are chosen on the validation characters
and stored with the model (`koch_siamese.get_thresholds`):

- `same`, for pairs: the one that classifies most validation pairs correctly.
  At this score the probability is 0.5. Its slope is fitted to these validation
  pairs, half of them of the same character; the fewer distinct pairs there are,
  the flatter it is (Platt 1999).
- `none_of_these`, for each number of candidates up to 20 (with
  `Recognizer.calibrate`, up to 200): at most 5 % of the queries whose character
  is not among the candidates still get a name. It is strict, because characters
  of one alphabet resemble each other. Correct answers are often withheld, too,
  so the best guess is also printed. It is never below `same`, so a name has a
  probability of at least 0.5.

`Recognizer.calibrate` chooses both on your own labeled images.

# Tables of results

    python -m koch_siamese.report --add=W
    python -m koch_siamese.report

copies the results of a run to experiments/results, and writes the tables of the
documents from the files there. `--check` only checks whether they are up to
date.
"""
