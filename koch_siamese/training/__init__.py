r"""How a model learns: batches, losses, optimizers, checkpoints, the loop.

`python -m koch_siamese.train` has a flag for each field of
`koch_siamese.Settings`; `--help` lists them. Each file experiments/*.flags has
the flags of a training. In Python, `koch_siamese.train_and_evaluate(settings,
workdir)` does the same and returns the results.

# Characters of your own

    python -m koch_siamese.train --dataset=folder --data_dir=images --crop \
        --init=pretrained --image_size=32 --distortion=elastic --views=9 \
        --workdir=runs/mine

fine-tunes the model in the package. Use ten or more characters with at least
two images each; four or more images are better. `--crop` crops images to their
ink; the model stores this setting, and other commands follow it. Trials have
as many ways as there are validation characters, up to 20. Measure the new
model, and `--model=pretrained` in the same way:

    python -m koch_siamese.evaluate --dataset=folder --data_dir=images \
        --num_trials=1000 --model=runs/mine/model.keras

If queries may show unknown characters, use `pretrained` unless you have a
hundred characters: of two models fine-tuned on 12 and 15 characters, one
accepted 8 of 10 unknown characters and the other 8 of 8.

# Photographs

`pretrained` reads every image as dark ink on white paper. Photographs need a
model of their own, trained on yours, in color:

    python -m koch_siamese.train --flagfile=experiments/emoji.flags \
        --training_groups= --validation_groups= --fill=edge \
        --data_dir=photos --workdir=runs/photos
    python -m koch_siamese.evaluate --workdir=runs/photos --data_dir=photos \
        --protocol=verification

`photos` holds `group/class/*.jpg`; give `--split_by=class` for `class/*.jpg`.
The two empty flags replace the groups of emoji by a random split.
experiments/faces.flags has settings for faces. The trained model is used like
any other: `Recognizer("runs/photos/model.keras").add("known")`.

- `--image_kind=photo`: reads images in color, upright, with their aspect
  ratio; never cleans or crops them
- `--effects=light` or `photo`: changes brightness, contrast, saturation and
  hue; `photo` also blurs and covers parts
- `--distortion=photo --fill=edge`: distorts by affine maps and mirrors; the
  nearest pixel fills the outside of an image
- `--character_distortion=turned`, `--character_effects=recolor`: turns,
  mirrors and recolors all images of a class in a batch alike, which makes a
  new class. For objects that may be turned, not for faces

# Long trainings

A training that was interrupted or killed resumes after its last complete
epoch, with the same batches, when the same command is given again.
`--deterministic` makes the final weights equal to the last bit, on the CPU of
one machine. If a checkpoint is damaged, the one before it is used, and a
message says so. A second process in the same `--workdir` is refused. Without
its checkpoints, a finished training prints the results of its model, and one
that was interrupted is refused, so that its model is not overwritten.

`--precision=bfloat16` computes convolutions and the gradients of large dense
layers in bfloat16 in training, for GPUs and for CPUs that support it
(AVX512_BF16); other CPUs may be slower with it. Convolutions by Fourier
transforms use bfloat16 only in their gradients. The model that is evaluated and
stored is float32.

`KERAS_BACKEND=jax` before a command computes with JAX (extra `jax`; on a GPU,
`pip install 'jax[cuda13]'`). A `model.keras` works with both backends.

`--distribute=mirrored` shares each batch among the GPUs of a machine.
`--distribute=multiworker` shares it among machines that run the same command
with TensorFlow's `TF_CONFIG` and see the same `--workdir`. If one of them
stops, the others stop with a message, and resume when all are started again.
With `--sampling=pairs` and no batch normalization, training is the same as on
one device; with groups, each device compares only its own part of the batch.
"""
