"""The settings, files and results of a training.

- `model.keras`: the best epoch: `{first, second} -> logit`, images uint8
  `[batch, height, width, 1]`, 0 = ink, 255 = white, of any size (3
  channels for photos)
- `results/P.json` for protocol P: accuracy, interval, trials, seed, commit,
  machine and seconds; flagfile, seed, epochs, planned epochs and seconds of the
  training. For another data set or other trials: `P_dataset_split_5ways.json`
  or the like, `P_folder_NAME.json` for another folder
- `results/thresholds.json`: the thresholds, and their error rates on
  validation characters
- `figures/`, `tensorboard/`: pairs as the network sees them, learning curves,
  trials, confusions, score histogram, worst pairs, first filters;
  TensorBoard's tab HPARAMS compares runs
- `train.flags`: the settings and the name of their flagfile
- `history.json`, `checkpoints/`: loss and accuracy of each epoch; the state
  from which a training resumes

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
    same = logit >= koch_siamese.get_thresholds(model).same
"""
