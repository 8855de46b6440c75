import functools
import re
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY_MODEL, build_fast_siamese

import koch_siamese
from koch_siamese.errors import InputError
from koch_siamese.models import embeddings
from koch_siamese.models.normalization import GroupNormalization
from koch_siamese.models.scorer import SiameseScorer
from koch_siamese.models.siamese import (
    Preprocessing,
    WeightedL1,
    build_siamese,
    copy_folded_weights,
    copy_siamese,
    get_embedding,
    get_head,
    get_image_size,
    get_thresholds,
    is_siamese,
    set_thresholds,
)
from koch_siamese.models.thresholds import Thresholds


@pytest.fixture(scope="module")
def paper():
    keras.utils.set_random_seed(0)
    return build_siamese(embeddings.build_paper_embedding())


@pytest.fixture(scope="module")
def fast():
    keras.utils.set_random_seed(0)
    return build_fast_siamese(16, (4, 6))


def draw_images(num, height=16, width=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(num, height, width, 1), dtype=np.uint8)


def test_paper_network_has_the_papers_shapes_and_parameters(paper):
    embedding = get_embedding(paper)
    assert embedding.count_params() == 38_947_648
    assert paper.count_params() == 38_951_745
    pooled = [
        layer.output.shape[1:]
        for layer in embedding.layers
        if isinstance(layer, keras.layers.MaxPooling2D)
    ]
    assert pooled == [(48, 48, 64), (21, 21, 128), (9, 9, 128)]
    flat = [x for x in embedding.layers if isinstance(x, keras.layers.Flatten)]
    assert flat[0].output.shape == (None, 9216)
    assert embedding.output.shape == (None, 4096)


def test_paper_network_has_the_papers_initial_values(paper):
    def check(weights, mean, stddev):
        values = np.array(weights).ravel()
        tolerance = 5 * stddev / np.sqrt(values.size)
        assert values.mean() == pytest.approx(mean, abs=tolerance)
        assert values.std() == pytest.approx(
            stddev, rel=0.4 if values.size < 300 else 0.05
        )

    for layer in get_embedding(paper).layers:
        if isinstance(layer, keras.layers.Conv2D):
            check(layer.kernel, 0.0, 0.01)
            check(layer.bias, 0.5, 0.01)
        if isinstance(layer, keras.layers.Dense):
            check(layer.kernel, 0.0, 0.2)
            check(layer.bias, 0.5, 0.01)
    head = get_head(paper)
    check(head.kernel, 0.0, 0.2)
    assert float(head.bias) == pytest.approx(0.5, abs=0.05)


def test_paper_network_refuses_images_that_are_too_small():
    # 65 - 9 = 56, 28 - 6 = 22, 11 - 3 = 8, 4 - 3 = 1; for 64 pixels it is 0.
    assert embeddings.build_paper_embedding(65).output.shape == (None, 4096)
    with pytest.raises(InputError, match="leave nothing of an image of 64"):
        embeddings.build_paper_embedding(64)


def test_reduced_network_by_hand():
    # 35 - 5 = 30, 15 - 3 = 12, 6 - 2 = 4: 4 x 4 x 256 = 4096 features.
    embedding = embeddings.build_paper_embedding(
        35, (64, 128, 256), (6, 4, 3), (4096,)
    )
    assert embedding.count_params() == (
        64 * (36 + 1) + 128 * (16 * 64 + 1) + 256 * (9 * 128 + 1) + 4096 * 4097
    )


def test_initial_weights_before_a_batch_normalization():
    embedding = embeddings.build_paper_embedding(
        35, (64, 32), (6, 4), (100,), batch_norm=True
    )
    kernels = [x for x in embedding.get_weights() if x.ndim > 1]
    # sqrt(2 / fan-in); fan-ins are 6 x 6, 64 x 4 x 4 and 32 x 12 x 12.
    for kernel, stddev in zip(kernels, (0.2357, 0.0442, 0.0208), strict=True):
        assert np.std(kernel) == pytest.approx(stddev, rel=0.05)


def test_batch_normalization_is_folded_into_weights():
    keras.utils.set_random_seed(0)
    sizes = (16, (4, 6), (3, 2), (5, 7))
    trained = embeddings.build_paper_embedding(*sizes, batch_norm=True)
    plain = embeddings.build_paper_embedding(*sizes)
    rng = np.random.default_rng(0)
    for layer in trained.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the statistics are those of one batch
            layer.beta.assign(rng.normal(size=layer.beta.shape))
    # The last scale may have any sign, because no ReLU or pooling follows.
    gamma = trained.layers[-2].gamma
    gamma.assign(rng.normal(size=gamma.shape))
    images = draw_images(8)
    trained(images, training=True)
    assert np.std(trained(images), axis=0).min() > 0.01
    assert np.abs(trained(images) - plain(images)).max() > 0.1
    copy_folded_weights(build_siamese(trained), build_siamese(plain))
    np.testing.assert_allclose(trained(images), plain(images), atol=1e-5)


def test_batch_normalization_of_one_unit_by_hand():
    embedding = embeddings.build_paper_embedding(
        1, (), (), (1,), batch_norm=True
    )
    # Kernel, gamma, beta, mean, variance: 3 (2 x - 4) / 5 + 1 = 1.2 x - 1.4.
    # Keras' epsilon of 0.001 makes the variance 25.
    values = (2.0, 3.0, 1.0, 4.0, 25.0 - 1e-3)
    shapes = [x.shape for x in embedding.get_weights()]
    embedding.set_weights(
        [np.full(s, x) for s, x in zip(shapes, values, strict=True)]
    )
    kernel, bias = embeddings.fold_batch_norm(embedding)
    np.testing.assert_allclose(kernel, [[1.2]], rtol=1e-6)
    np.testing.assert_allclose(bias, [-1.4], rtol=1e-6)


def test_dense_network_by_hand():
    embedding = embeddings.build_paper_embedding(35, (), (), (20, 10))
    assert embedding.count_params() == 20 * (35 * 35 + 1) + 10 * (20 + 1)
    hidden, last = (
        x for x in embedding.layers if isinstance(x, keras.layers.Dense)
    )
    assert hidden.activation is keras.activations.relu
    assert last.activation is keras.activations.sigmoid


def test_each_convolution_needs_a_kernel_size():
    with pytest.raises(InputError, match=r"filters 8,8 and kernel sizes 3:"):
        embeddings.build_paper_embedding(35, (8, 8), (3,), (10,))


def test_deeper_blocks_are_residual():
    deep = embeddings.build_fast_embedding(16, (4, 8), depth=2)
    # Convolutions have 36, 144 and 288 weights, group normalizations two per
    # filter, and the batch normalization four per filter.
    assert deep.count_params() == 36 + 8 + 144 + 8 + 288 + 32
    plain = embeddings.build_fast_embedding(16, (4, 8))
    weights = deep.get_weights()
    plain.set_weights(weights[:3] + weights[6:])
    images = draw_images(3)
    assert np.abs(deep(images) - plain(images)).max() > 1e-3
    weights[4] = 0 * weights[4]  # the scale after the added convolution
    deep.set_weights(weights)
    np.testing.assert_allclose(deep(images), plain(images), atol=1e-6)


def test_fast_network_normalizes_eight_groups_where_filters_divide():
    embedding = embeddings.build_fast_embedding(16, (4, 12, 32, 5))
    groups = [
        (layer.axis, layer.groups)
        for layer in embedding.layers
        if isinstance(layer, GroupNormalization)
    ]
    assert groups == [(-1, 4), (-1, 4), (-1, 8)]


def test_fast_network_refuses_images_that_are_too_small():
    assert embeddings.build_fast_embedding(8, (2, 2, 5)).output.shape[1] == 5
    with pytest.raises(InputError, match="at least 8 pixels"):
        embeddings.build_fast_embedding(7, (2, 2, 5))


def test_weighted_l1_by_hand():
    head = WeightedL1()
    first, second = np.array([[1.0, 2.0, 3.0]]), np.array([[0.5, 4.0, 3.0]])
    head(first, second)
    head.set_weights([np.array([2.0, -1.0, 7.0]), np.array(0.25)])
    # 2 * 0.5 - 1 * 2 + 7 * 0 + 0.25
    assert np.array(head(first, second)) == pytest.approx([-0.75])
    many = np.random.default_rng(0).random((4, 3))
    grid = np.array(head(many[:, None], many[None]))
    assert grid.shape == (4, 4)
    assert grid[1, 3] == pytest.approx(float(head(many[1:2], many[3:4])[0]))


@pytest.mark.parametrize(
    "shapes", [((5, 3), (5, 3)), ((5, 1, 3), (1, 4, 3)), ((1, 1, 3), (1, 1, 3))]
)
@pytest.mark.parametrize("training", [False, True])
def test_weighted_l1_has_the_gradient_of_its_formula(shapes, training):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    first, second = (tf.constant(rng.normal(size=shape)) for shape in shapes)
    head = WeightedL1(dtype="float64")
    head(first, second)
    kernel = tf.identity(head.kernel)
    with tf.GradientTape() as tape:
        tape.watch([first, second])
        score = tf.sin(head(first, second, training=training))
    gradients = tape.gradient(score, [first, second, head.kernel, head.bias])
    with tf.GradientTape() as tape:
        tape.watch([first, second, kernel])
        distance = tf.abs(first - second)
        score = tf.sin(
            tf.einsum("...d,d->...", distance, kernel) + head.bias.value
        )
    expected = tape.gradient(score, [first, second, kernel, head.bias.value])
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_siamese_model_is_symmetric_and_shares_its_base(fast):
    first, second = draw_images(5), draw_images(5, seed=1)
    one = fast({"first": first, "second": second})
    other = fast({"first": second, "second": first})
    assert one.shape == (5,)
    np.testing.assert_allclose(one, other, atol=1e-6)
    # A drawing has no distance from itself, so the logit is the bias.
    alike = np.array(fast({"first": first, "second": first}))
    np.testing.assert_allclose(alike, float(get_head(fast).bias), atol=1e-6)


def test_model_takes_images_of_any_size(fast):
    embedding = get_embedding(fast)
    for height, width in ((16, 16), (40, 23), (9, 105), (16, 30), (30, 16)):
        assert embedding(draw_images(2, height, width)).shape == (2, 96)


def test_predictions_are_traced_once_for_all_sizes_of_a_batch():
    model = koch_siamese.load_model(TINY_MODEL)
    scorer, images = SiameseScorer(model), draw_images(5, 105, 105)
    one, two, five = (scorer.embed(images[:num]) for num in (1, 2, 5))
    np.testing.assert_allclose(one, five[:1], atol=1e-5)
    np.testing.assert_allclose(two, five[:2], atol=1e-5)
    predict = get_embedding(model).predict_function
    assert predict.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(("is_compiled", "last"), [(False, 1), (True, 2)])
def test_only_a_compiled_model_gets_full_batches(
    monkeypatch, is_compiled, last
):
    model, images = koch_siamese.load_model(TINY_MODEL), draw_images(5, 30, 30)
    scorer, embedding = SiameseScorer(model), get_embedding(model)
    expected, scorer.batch_size = scorer.embed(images), 2
    predict, sizes = embedding.predict_on_batch, []

    def count(batch):
        sizes.append(len(batch))
        return predict(batch)

    monkeypatch.setattr(embedding, "predict_on_batch", count)
    monkeypatch.setattr(embedding, "_jit_compile", is_compiled)
    np.testing.assert_allclose(scorer.embed(images), expected, atol=1e-5)
    assert sizes == [2, 2, last]


def test_preprocessing_is_the_identity_at_the_right_size():
    images = draw_images(2)
    ink = np.array(Preprocessing(16)(images))
    np.testing.assert_allclose(ink, 1 - images / 255.0, atol=1e-6)
    negative = Preprocessing.from_config(Preprocessing(16, 0).get_config())
    np.testing.assert_allclose(negative(images), images / 255.0, atol=1e-6)


def test_preprocessing_pads_with_white_and_keeps_the_aspect_ratio():
    ink = np.array(Preprocessing(10)(np.full((1, 20, 10, 1), 5.0)))
    assert ink[0, :, :2].max() < 0.05
    assert ink[0, :, 3:7].min() > 0.95


def test_model_is_the_same_after_saving_and_loading(fast, tmp_path):
    path = tmp_path / "model.keras"
    fast.save(path)
    loaded = koch_siamese.load_model(path)
    inputs = {"first": draw_images(3), "second": draw_images(3, seed=1)}
    np.testing.assert_array_equal(loaded(inputs), fast(inputs))


def test_thresholds_are_stored_with_the_model(tmp_path):
    model = build_fast_siamese(16, (4, 6))
    assert get_thresholds(model) is None
    thresholds = Thresholds(0.5, (1.0, 2.5), slope=0.25)
    set_thresholds(model, thresholds)
    model.save(tmp_path / "model.keras")
    loaded = koch_siamese.load_model(tmp_path / "model.keras")
    assert get_thresholds(loaded) == thresholds


@pytest.mark.parametrize(
    ("size", "logits"),
    [
        ((24, 24), [2.913427, 2.296070, 1.820194]),
        ((40, 30), [1.791564, 1.772773, 1.795034]),
    ],
)
def test_model_of_an_earlier_version_still_loads(size, logits):
    """The file and the expected logits are from version 0.1.0."""
    model = koch_siamese.load_model(TINY_MODEL)
    images = np.random.default_rng(0).integers(
        256, size=(2, 3, *size, 1), dtype=np.uint8
    )
    found = model({"first": images[0], "second": images[1]})
    np.testing.assert_allclose(found, logits, atol=1e-4)
    thresholds = get_thresholds(model)
    assert thresholds.same == pytest.approx(-0.711462, abs=1e-6)
    assert len(thresholds.none_of_these) == 20
    assert get_image_size(model) == 24


def test_copy_of_an_older_model_has_our_normalization(monkeypatch):
    keras_own = keras.layers.GroupNormalization
    with monkeypatch.context() as patch:
        patch.setattr(embeddings, "GroupNormalization", keras_own)
        model = build_fast_siamese(16, (4, 6))
    copy = copy_siamese(model)
    kinds = [
        {type(layer) for layer in get_embedding(siamese).layers}
        for siamese in (model, copy)
    ]
    assert keras_own in kinds[0]
    assert kinds[1] - kinds[0] == {GroupNormalization}
    assert keras_own not in kinds[1]
    inputs = {"first": draw_images(3), "second": draw_images(3, seed=1)}
    np.testing.assert_array_equal(copy(inputs), model(inputs))


def test_pooling_in_bfloat16_is_exact():
    embedding = get_embedding(
        copy_siamese(build_fast_siamese(16, (4, 6)), "bfloat16")
    )
    pool = next(
        layer
        for layer in embedding.layers
        if isinstance(layer, keras.layers.MaxPooling2D)
    )
    assert pool.compute_dtype == "bfloat16"
    features = tf.cast(
        tf.random.stateless_normal((3, 8, 8, 4), (0, 1)), "bfloat16"
    )
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        pooled = pool(features)
        expected = keras.layers.MaxPooling2D()(tf.cast(features, "float32"))
    np.testing.assert_array_equal(tf.cast(pooled, "float32"), expected)
    # In training, too, the gradient from the next layer is in bfloat16.
    back = tf.cast(tf.random.stateless_normal((3, 4, 4, 4), (0, 2)), "bfloat16")
    np.testing.assert_array_equal(
        tape.gradient(pooled, features, back),
        tape.gradient(expected, features, tf.cast(back, "float32")),
    )


def test_damaged_model_files_are_refused(tmp_path):
    content = TINY_MODEL.read_bytes()
    torn = tmp_path / "torn.keras"
    for length in (0, 100, len(content) // 2, len(content) - 1):
        torn.write_bytes(content[:length])
        with pytest.raises(InputError, match="not a siamese model") as caught:
            koch_siamese.load_model(torn)
        assert "\n" not in str(caught.value)


def test_model_file_with_unknown_compression_is_refused(tmp_path):
    content = bytearray(TINY_MODEL.read_bytes())
    for part in re.finditer(b"PK\1\2", bytes(content)):
        content[part.start() + 10] = 99
    odd = tmp_path / "odd.keras"
    odd.write_bytes(content)
    with pytest.raises(InputError, match="compression method"):
        koch_siamese.load_model(odd)


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_model_file_with_a_flipped_byte_is_refused(member, tmp_path):
    content = bytearray(TINY_MODEL.read_bytes())
    with zipfile.ZipFile(TINY_MODEL) as archive:
        start = archive.getinfo(member).header_offset
    content[start + 100] ^= 0xFF
    flipped = tmp_path / "flipped.keras"
    flipped.write_bytes(content)
    with pytest.raises(InputError, match="not a siamese model"):
        koch_siamese.load_model(flipped)


def test_model_with_code_is_refused(tmp_path):
    images, ink = embeddings.build_input(Preprocessing(8))
    embedding = keras.Model(
        images, keras.layers.Lambda(lambda x: x)(ink), name="embedding"
    )
    path = tmp_path / "lambda.keras"
    build_siamese(embedding).save(path)
    with pytest.raises(InputError, match="not a siamese model") as caught:
        koch_siamese.load_model(path)
    assert "\n" not in str(caught.value)


def test_unknown_layer_is_refused(tmp_path, monkeypatch):
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

        def compute_output_shape(self, shape):
            return shape

    known = keras.saving.get_custom_objects()
    monkeypatch.setitem(known, "test>Twice", Twice)
    images, ink = embeddings.build_input(Preprocessing(8))
    outputs = keras.layers.Dense(4)(keras.layers.Flatten()(Twice()(ink)))
    embedding = keras.Model(images, outputs, name="embedding")
    build_siamese(embedding).save(tmp_path / "model.keras")
    monkeypatch.delitem(known, "test>Twice")
    with pytest.raises(InputError, match="to a command, give --workdir"):
        koch_siamese.load_model(tmp_path)
    flags = tmp_path / "train.flags"
    for network, advice in (
        ("mine.nets:build", r"import mine\.nets first"),
        ("given:0123abc", "import the module that defines it first"),
    ):
        flags.write_text(f"--image_size=8\n--network={network}\n")
        with pytest.raises(InputError, match=rf"not known: {advice}\.$"):
            koch_siamese.load_model(tmp_path)


def test_files_that_are_not_models_are_refused(tmp_path):
    with pytest.raises(InputError, match="no model"):
        koch_siamese.load_model(tmp_path / "absent.keras")
    other = tmp_path / "other.keras"
    other.write_bytes(b"not a zip")
    with pytest.raises(InputError, match="not a siamese model"):
        koch_siamese.load_model(other)
    strange = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    strange.save(tmp_path / "strange.keras")
    with pytest.raises(InputError, match="not a siamese model"):
        koch_siamese.load_model(tmp_path / "strange.keras")


def test_models_that_are_not_siamese_are_refused(fast):
    assert is_siamese(fast)
    words = [
        keras.Input((2,)),
        keras.layers.Embedding(3, 4, name="embedding"),
    ]
    images = keras.Input((8, 8, 1))
    plain = keras.Model(
        images,
        keras.layers.GlobalAveragePooling2D()(images),
        name="embedding",
    )
    assert is_siamese(build_siamese(plain))
    score = keras.layers.Dense(1, name="logit")(plain(images))
    without_preprocessing = keras.Model(images, score)
    for model in (keras.Sequential(words), without_preprocessing, plain):
        assert not is_siamese(model)
        with pytest.raises(InputError, match="is not a siamese model"):
            koch_siamese.Recognizer(model)
    with pytest.raises(InputError, match="model 'pretrained' is not a siamese"):
        koch_siamese.get_thresholds("pretrained")


def test_a_siamese_model_of_a_network_of_ones_own():
    """Its input is ink, 0 to 1, of its own size, whatever that of images."""
    ink = keras.Input((15, 15, 1))
    network = keras.Model(ink, keras.layers.Flatten()(ink))
    siamese = build_siamese(network)
    images = np.full((2, 105, 105, 1), 255, np.uint8)
    images[1, :, :49] = 0  # seven of 15 columns
    embedded = get_embedding(siamese).predict(images, verbose=0)
    np.testing.assert_allclose(embedded.sum(axis=1), [0, 7 * 15], atol=1e-3)
    recognizer = koch_siamese.Recognizer(siamese)
    recognizer.add({"a": images[1, :, :, 0]})
    assert recognizer.names == ("a",)


def test_parts_that_do_not_make_a_siamese_model_are_refused(fast):
    embedding = get_embedding(fast)
    renamed = keras.Model(embedding.input, embedding.output, name="mine")
    with pytest.raises(InputError, match=r"'mine'.*is named 'embedding'\.$"):
        build_siamese(renamed)
    unsized = keras.Sequential([keras.layers.GlobalAveragePooling2D()])
    for network in (unsized, keras.Sequential([keras.Input((None, None, 1))])):
        with pytest.raises(InputError, match="does not name the size"):
            build_siamese(network)
    for head in (WeightedL1(), keras.layers.Dense(1, name="logit")):
        with pytest.raises(InputError, match=r"WeightedL1\(name='logit'\)\.$"):
            build_siamese(embedding, head)
    assert is_siamese(build_siamese(embedding, WeightedL1(name="logit")))


def test_invalid_images_are_refused():
    model = build_fast_siamese(16, (4, 8))
    gray = np.full((2, 20, 20, 1), 255, np.uint8)
    gray[:, 5:10] = 0

    def score(first):
        return model({"first": first, "second": gray})

    assert score(gray).shape == (2,)
    one_of_two = np.stack([gray[0], gray[1] // 255])
    for scaled in (gray / 255, gray // 255, one_of_two):
        with pytest.raises(ValueError, match="no value above 1: expected 0"):
            score(scaled)
    score(np.minimum(gray, 2))  # pale, but not in 0..1
    with pytest.raises(tf.errors.InvalidArgumentError, match="no value above"):
        model.predict({"first": one_of_two, "second": gray}, verbose=0)
    colors, with_alpha = (np.repeat(gray, num, axis=-1) for num in (3, 4))
    # Without a batch dimension, a photo looks like 20 images of 20 x 3 pixels.
    for images in (colors, colors[0], with_alpha[0]):
        with pytest.raises(ValueError, match="Convert colors to gray"):
            model({"first": images, "second": images})


def test_one_image_without_a_batch_is_refused():
    model = build_fast_siamese(16, (4, 8))
    one = np.arange(20 * 20, dtype=np.uint8).reshape(20, 20, 1)
    for score in (model, functools.partial(model.predict, verbose=0)):
        with pytest.raises(ValueError, match=r"one image as image\[None\]"):
            score({"first": one, "second": one})
    # Keras fails if there was a result for inputs of another rank.
    batch = {"first": one[None], "second": one[None]}
    assert model.predict(batch, verbose=0).shape == (1,)
