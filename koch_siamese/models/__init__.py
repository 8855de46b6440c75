r"""Keras objects: layers, embeddings, siamese models and their files.

A siamese model is a functional Keras model `{first, second} -> logit`. Both
images pass through the same embedding; a head scores the pair.

# A network of your own

Write a module, such as mynet.py, with a function that returns a functional
Keras model. Its input is float32 `[batch, size, size, 1]` (ink = 1, paper = 0),
its output one vector for each image, `[batch, dim]`:

    import keras

    def build(settings):
        size = settings.image_size
        inputs = keras.Input((size, size, 1))
        x = keras.layers.Conv2D(32, 5, activation="relu")(inputs)
        x = keras.layers.MaxPooling2D(4)(x)
        return keras.Model(inputs, keras.layers.Flatten()(x))

Train it, and recognize your own images by it:

    python -m koch_siamese.train --network=mynet:build --workdir=runs/mine
    python -m koch_siamese.classify --workdir=runs/mine \
        --support=known --query=new

experiments/resnet.py is a residual network. In Python, pass a model, and a loss
if you like, as objects. The fields of `Settings` are the flags of `train`:

    from koch_siamese import Settings, train_and_evaluate

    settings = Settings(epochs=5, sampling="pairs")
    model = build(settings)  # the function above
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    results = train_and_evaluate(
        settings, "runs/mine", embedding=model, loss=loss
    )
    print(results[0]["accuracy"])

The loss is a `keras.losses.Loss`. With `sampling="pairs"` it gets labels
`[batch]` (1 = same) and scores `[batch]`. With `sampling="groups"` it gets the
class number of each drawing, `[batch]`, and the scores of all pairs of
drawings, `[batch, batch]`. Scores are logits. Register layers and losses of
your own with `keras.saving.register_keras_serializable`. To resume a run, give
the same architecture and loss.

The input is already 0 to 1, so remove a layer `Rescaling(1 / 255)` from a
network that begins with it. A custom network is trained by `adam` or `muon`,
not `layerwise_sgd`, which has rates for the paper's layers. Settings of the
package's own layers, such as `filters`, cannot be used with it. A network that
is given as an object cannot be used with `distribute`.

# A backbone from keras.applications, for photographs

    python -m koch_siamese.train --dataset=folder --data_dir=PHOTOS \
        --image_kind=photo --image_size=224 \
        --network=keras.applications:MobileNetV3Small \
        --backbone_weights=imagenet --trainable_from=none --distortion=none \
        --workdir=runs/frozen

downloads ImageNet's weights, computes the features of each photograph once,
and trains a dense layer (`--units`) and the head on them. Offline, give a file
of weights: `--backbone_weights=FILE`. The backbone must scale colors itself,
as MobileNetV3, EfficientNetV2 and ConvNeXt do. With
`--distortion=photo --effects=photo` the frozen backbone sees new distortions
at each step.

To train the last layers of the backbone, too, name the first of these layers
and start from the frozen run:

    python -m koch_siamese.train --dataset=folder --data_dir=PHOTOS \
        --image_kind=photo --image_size=224 --init=runs/frozen/model.keras \
        --trainable_from=expanded_conv_8_expand --learning_rate=1e-4 \
        --distortion=photo --effects=photo --workdir=runs/tuned

# With Keras alone

    import keras

    from koch_siamese import (
        build_siamese,
        evaluate_protocol,
        load_characters,
        make_pairs,
    )
    from koch_siamese.models.embeddings import build_fast_embedding

    characters = load_characters("glyphs", "training").resized(32)
    pairs = make_pairs(characters, distortion="paper")
    siamese = build_siamese(build_fast_embedding(32, (32, 64, 64)))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    accuracy = keras.metrics.BinaryAccuracy(threshold=0)
    siamese.compile("adam", loss, metrics=[accuracy])
    siamese.fit(pairs, steps_per_epoch=100, shuffle=False)
    result = evaluate_protocol(siamese, "within_alphabet", "glyphs")
    print(result["accuracy"], result["ci95"])

`build_siamese` also takes a network of your own, which gets ink of 0 to 1 (or
photos of 0 to 1) in its own size. Here `shuffle=False` only prevents a warning
of Keras. A picture of the filters of the first layer, as in the paper's figure
7:

    from koch_siamese.models.siamese import get_filters
    from koch_siamese.reporting.figures import draw_filters

    draw_filters(get_filters(siamese)).savefig("filters.png")

With groups, as in the default settings, a network learns more from each
drawing: all drawings of a batch are compared with each other. The head is that
of the default settings, too; it learns faster than the paper's head, which
`build_siamese` takes by default. `siamese` shares the layers of `trainer`, so
it is trained too:

    import keras

    from koch_siamese import (
        AllPairsLoss,
        build_siamese,
        evaluate_protocol,
        load_characters,
        make_groups,
    )
    from koch_siamese.models.embeddings import build_fast_embedding
    from koch_siamese.models.siamese import build_fast_head

    characters = load_characters("glyphs", "training").resized(32)
    groups = make_groups(characters, distortion="paper")
    embedding = build_fast_embedding(32, (32, 64, 64))
    head = build_fast_head(embedding.output_shape[-1])
    siamese = build_siamese(embedding, head)

    images = keras.Input((32, 32, 1))
    embedded = embedding(images)
    rows = keras.ops.expand_dims(embedded, 1)
    columns = keras.ops.expand_dims(embedded, 0)
    trainer = keras.Model(images, head(rows, columns))  # [batch, batch]
    trainer.compile("adam", AllPairsLoss(ranking_weight=1.0))
    trainer.fit(groups, steps_per_epoch=100, shuffle=False)
    result = evaluate_protocol(siamese, "within_alphabet", "glyphs")
    print(result["accuracy"], result["ci95"])
"""
