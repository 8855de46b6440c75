"""The settings, files and results of a training.

- `model.keras`: the best epoch: `{first, second} -> logit`, images uint8
  `[batch, height, width, 1]`, 0 = ink, 255 = white, of any size (3
  channels for photos)
- `results/P.json` for protocol P: the result, and how it was made, see below.
  For another data set or other trials: `P_dataset_split_5ways.json` or the
  like, `P_folder_NAME.json` for another folder
- `results/thresholds.json`: the thresholds, and their error rates on
  validation characters
- `figures/`: pairs as the network sees them, learning curves, trials,
  confusions, score histogram, worst pairs, first filters
- `tensorboard/`: the same, and the loss and accuracy of each epoch, for
  TensorBoard; its tab HPARAMS compares runs
- `train.flags`: the settings and the name of their flagfile
- `history.json`: loss and accuracy of each epoch; the loss is without the L2
  penalty of layerwise_sgd, as its updates contain that
- `checkpoints/`: the state from which a training resumes

# Keys of results

- `accuracy`, `ci95`, `num_trials`, `seed`, `seconds` and others: see
  `koch_siamese.evaluation.evaluator.Evaluator.evaluate`
- `version`, `commit`, `machine`, `tensorflow`, `keras`, `date` (UTC, ISO 8601):
  of the evaluation; `backend`: that of Keras, such as `tensorflow 2.21.0`
- `training_commit`, `training_machine`, `training_backend`, `training_keras`,
  `training_date`: the same at the end of the training
- `flagfile`, `training_flags`: the flagfile of the training, and the flags that
  differ from it; without a flagfile, those that differ from the defaults
- `training_seed`, `training_seconds`
- `training_epochs`: how many were trained; `training_planned_epochs`, that is
  `--epochs`; `training_best_epoch`: that of the model, counted from 1

Older results lack some keys; null is unknown, such as the flags if the flagfile
was not found.

# The model of a run

    import koch_siamese

    recognizer = koch_siamese.Recognizer("runs/quickstart/model.keras")
    print(recognizer.verify("a.png", "b.png"))

    # The same by hand:
    model = koch_siamese.load_model("runs/quickstart/model.keras")
    first, second = (
        koch_siamese.read_drawing(path, crop=True)[None, ..., None]
        for path in ("a.png", "b.png")
    )
    logit = model({"first": first, "second": second})  # higher: more alike
    thresholds = koch_siamese.get_thresholds(model)
    same = logit >= thresholds.same
    probability = thresholds.probability(logit)
"""
