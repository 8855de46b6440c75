"""Sources of images: Omniglot, glyphs, TFDS data sets, your own files.

# Omniglot and other data sets

`--dataset=omniglot` is prepared by TFDS in `~/tensorflow_datasets`, or in
`--data_dir`. Without a network, put the four original archives
(`images_background.zip`, `images_evaluation.zip`,
`images_background_small1.zip`, `images_background_small2.zip`) into a folder
and give it as `--manual_dir`.

`--dataset=glyphs`, the default, is drawn by this package itself, offline.

`--dataset=cifar100`, or any other TFDS data set of images and labels: all its
images are pooled, and its classes are divided, for CIFAR-100 into 60 for
training, 20 for validation and 20 for testing. Give `--image_kind=photo` if the
images are photographs. A model that was trained on another data set is
evaluated on all classes of the set's own `test` split.

# Your own images

- a folder for each class, or for each group of classes: `--data_dir=images`
- folders `train`, `test` and perhaps `val`, each with a folder for each class:
  `--data_dir=images`
- a table of images: `--data_dir=images.csv`

All with `--dataset=folder`. A folder holds `class/*.jpg` or
`group/class/*.jpg`; a group is an alphabet, or a kind of thing, such as
`shoes`. Files are PNG, JPEG, GIF, BMP, WebP, TIFF, PGM or PPM, and HEIC with
the extra `heic`.

A table, `.csv` or `.tsv`, is UTF-8 text with commas, semicolons or tabs. The
first line names the columns, in any order. Other columns are ignored with a
note:

    path,label,group,drawer,split
    photos/0001.jpg,mallard,ducks,Ann,train

- `path`, relative to the table's folder or absolute, and `label` are required.
- `group`: as above.
- `drawer`: who drew it, or the session in which a photograph was taken. If at
  least two drawers have all classes of a group, the query and the supports of a
  trial are by different drawers. Of several images of a class by one drawer, a
  trial takes one at random.
- `split`: `train`, `val` or `test`.

`Recognizer.add("images.csv")` and `classify --support=images.csv` read all
rows of a table.

# Images in NumPy arrays

    import keras
    import numpy as np

    from koch_siamese import Characters, make_pairs
    from koch_siamese.data.characters import number_images

    (images, labels), _ = keras.datasets.mnist.load_data()
    images = 255 - images[..., np.newaxis]  # black on white, [num, 28, 28, 1]
    labels = labels.astype("int32")
    digits = Characters(
        images,
        character=labels,
        number=labels + 1,
        alphabet=np.zeros_like(labels),
        drawer=number_images(labels),  # a number for each image of a digit
        alphabet_names=("digits",),
    ).resized(35)
    pairs = make_pairs(digits, distortion="paper")

`evaluate_protocol` takes such `Characters` in place of the name of a data set.

# Splits

Splits in the data, as folders or as a column, are used as they are. If there
is no `val`, a fifth of the training classes is used for validation; with fewer
than ten classes, a fifth of the images of each.

Without splits, of every five classes three are for training, one is for
validation and one for testing. The split is the same for every `--seed`. It
changes when a class is added or removed: start a new run then.
With `--split_by=group`, whole groups are split, so that the test is on kinds
never trained on; `--training_groups`, `--validation_groups` and `--test_groups`
name them. A name with a comma is in quotes: `'"Greek, ancient",Latin'`.

If `test` has the same classes as `train`, it is a closed set: a fifth of the
training images is used for validation. The output, the result file
(`closed_set`) and the tables say that the accuracy is not for new classes.

With six to nine classes, two are for validation and two for testing. With four
or five, two are for testing, and validation uses other images of the training
classes. Fewer than four are refused. Trials have as many ways as there are
classes, up to 20, unless `--ways` is given.

Each epoch is validated, and thresholds are fitted, on up to 2,000 validation
images, the same number of each class: at least four, and always four of
`omniglot` and `glyphs`.

Images that need more than `--max_image_megabytes` of memory (1024) are kept in
a file in `$TMPDIR`, so that a data set may be larger than memory.
"""
