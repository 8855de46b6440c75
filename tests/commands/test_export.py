"""Tests exports: signatures, agreement with the model, and the command."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import (
    REPOSITORY,
    TINY_MODEL,
    assert_one_line,
    build_fast_siamese,
    call,
)

from koch_siamese.data.glyphs import draw_glyph
from koch_siamese.images import fit_by_products
from koch_siamese.inference import export_check, exporters
from koch_siamese.inference.endpoints import Endpoints
from koch_siamese.inference.recognizer import Recognizer
from koch_siamese.models import views
from koch_siamese.models.embeddings import build_fast_embedding
from koch_siamese.models.loading import load_model
from koch_siamese.models.siamese import (
    Preprocessing,
    build_fast_head,
    build_siamese,
    get_embedding,
    get_head,
    get_thresholds,
    set_thresholds,
)
from koch_siamese.models.thresholds import Thresholds
from koch_siamese.reporting.text import format_model_card
from koch_siamese.sampling.distortions import DISTORTIONS

HAS_ONNX = all(
    importlib.util.find_spec(name)
    for name in ("onnx", "onnxruntime", "tf2onnx")
)


def draw_images(num, height=16, width=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(256, size=(num, height, width, 1), dtype=np.uint8)


def build_model(thresholds=None):
    keras.utils.set_random_seed(0)
    model = build_fast_siamese(16, (4, 6))
    if thresholds:
        set_thresholds(model, thresholds)
    return model


def load(folder):
    return tf.saved_model.load(str(folder / "saved_model"))


def save_and_load(model, folder):
    exporters.save_saved_model(model, folder, {})
    return load(folder)


def score_all(model, query, support):
    embedding, head = get_embedding(model), get_head(model)
    return np.array(head(embedding(query)[:, None], embedding(support)))


@pytest.fixture(scope="module")
def model():
    """A model whose threshold is the median score, so both verdicts occur."""
    model = build_model()
    scores = score_all(model, draw_images(4), draw_images(4, seed=1))
    same = float(np.median(np.diagonal(scores)))
    set_thresholds(model, Thresholds(same, (same, 0.0)))
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    exporters.save_saved_model(model, folder, {})
    return folder


@pytest.fixture(scope="module")
def loaded(exported):
    return load(exported)


@pytest.fixture(scope="module")
def minus_distance():
    """A model whose scores are minus the distance, and its thresholds."""
    model = build_model(Thresholds(0.0, (-3.5, -2.5, -1.5)))
    get_head(model).set_weights([-np.ones(96), np.array(0.0)])
    return model


@pytest.fixture(scope="module")
def portable(minus_distance, tmp_path_factory):
    folder = tmp_path_factory.mktemp("portable")
    exporters.save_litert(minus_distance, folder, {})
    if HAS_ONNX:
        exporters.save_onnx(minus_distance, folder, {})
    return folder


def test_signatures_have_their_names_shapes_and_types(loaded):
    image, embedding = ((None, None, None, 1), "uint8"), ((None, 96), "float32")
    number, grid = ((None,), "float32"), ((None, None), "float32")
    answers = {"score": grid, "prediction": ((None,), "int32")}
    expected = {
        "embed": ({"images": image}, {"embedding": embedding}),
        "verify": (
            {"first": image, "second": image},
            {"logit": number, "probability": number, "same": ((None,), "bool")},
        ),
        "classify": ({"query": image, "support": image}, answers),
        "match": (
            {"query_embedding": embedding, "support_embedding": embedding},
            answers,
        ),
    }
    expected["serving_default"] = expected["embed"]

    def describe(specs):
        return {x: (tuple(y.shape), y.dtype.name) for x, y in specs.items()}

    assert set(loaded.signatures) == set(expected)
    for name, (inputs, outputs) in expected.items():
        signature = loaded.signatures[name]
        assert describe(signature.structured_input_signature[1]) == inputs
        assert describe(signature.structured_outputs) == outputs


@pytest.mark.parametrize(
    ("num", "height", "width"), [(1, 16, 16), (3, 40, 23), (2, 105, 105)]
)
def test_verify_agrees_with_the_model(model, loaded, num, height, width):
    first, second = draw_images(num, height, width), draw_images(num, seed=1)
    answer = loaded.verify(first=first, second=second)
    logit = np.array(model({"first": first, "second": second}))
    np.testing.assert_allclose(answer["logit"], logit, atol=1e-5)


def test_verify_applies_the_threshold_and_gives_probabilities(model, loaded):
    answer = loaded.verify(draw_images(4), draw_images(4, seed=1))
    assert sorted(answer["same"].numpy()) == [False, False, True, True]
    thresholds = get_thresholds(model)
    expected = [thresholds.probability(x) for x in answer["logit"].numpy()]
    np.testing.assert_allclose(answer["probability"], expected, atol=1e-6)
    np.testing.assert_array_equal(
        answer["same"], answer["probability"].numpy() >= 0.5
    )


def test_invalid_images_are_refused(loaded):
    drawings = draw_images(2)
    scaled = np.stack([drawings[0], drawings[1] // 255])
    refused = tf.errors.InvalidArgumentError
    with pytest.raises(refused, match="no value above 1"):
        loaded.embed(scaled)
    with pytest.raises(refused, match="no value above 1"):
        loaded.signatures["verify"](
            first=tf.constant(drawings), second=tf.constant(scaled)
        )
    with pytest.raises(TypeError):  # TensorFlow refuses the shape
        loaded.embed(np.repeat(drawings, 3, axis=-1))


def test_match_of_embeddings_is_classify_of_images(model, loaded):
    query, support = draw_images(3, 20, 31), draw_images(5, 50, 44, seed=1)
    one = loaded.classify(query=query, support=support)
    other = loaded.match(
        query_embedding=loaded.embed(images=query)["embedding"],
        support_embedding=loaded.embed(images=support)["embedding"],
    )
    expected = score_all(model, query, support)
    np.testing.assert_allclose(one["score"], expected, atol=1e-5)
    np.testing.assert_allclose(other["score"], expected, atol=1e-5)
    np.testing.assert_array_equal(one["prediction"], other["prediction"])


def test_prediction_is_the_best_support_or_none_of_these(
    minus_distance, tmp_path
):
    embedded = np.zeros((1, 96), np.float32)

    def make_supports(*distances):
        supports = np.zeros((len(distances), 96), np.float32)
        supports[:, 0] = distances
        return supports

    loaded = save_and_load(minus_distance, tmp_path)
    for distances, expected in (
        ((3,), 0),
        ((4,), -1),
        ((3, 4), -1),
        ((4, 2), 1),
        ((2, 3, 4), -1),
        ((4, 3, 2, 1), 3),  # more than in the table: its last threshold
        ((5, 4, 3, 2), -1),
        ((), -1),
    ):
        answer = loaded.match(embedded, make_supports(*distances))
        assert answer["prediction"].numpy().tolist() == [expected]
        np.testing.assert_array_equal(answer["score"], [np.negative(distances)])


def test_without_thresholds_the_best_support_is_the_prediction(tmp_path):
    loaded = save_and_load(build_model(), tmp_path)
    images = draw_images(4)
    order = [2, 0, 3, 1]
    answer = loaded.classify(images, images[order])
    np.testing.assert_array_equal(answer["prediction"], np.argsort(order))
    assert loaded.verify(images, images)["same"].numpy().all()  # all logits: 0


def test_saved_model_loads_without_keras_and_this_package(model, exported):
    code = (
        "import sys; sys.modules.update(koch_siamese=None, keras=None)\n"
        "import json, numpy, tensorflow as tf\n"
        "loaded = tf.saved_model.load('saved_model')\n"
        "images = numpy.arange(600, dtype='uint8').reshape(2, 20, 15, 1)\n"
        "answer = loaded.verify(first=images, second=images[::-1])\n"
        "print(json.dumps(answer['logit'].numpy().tolist()))"
    )
    answer = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        cwd=exported,
    )
    assert answer.returncode == 0, answer.stderr
    images = np.arange(600).astype("uint8").reshape(2, 20, 15, 1)
    expected = model({"first": images, "second": images[::-1]})
    np.testing.assert_allclose(json.loads(answer.stdout), expected, atol=1e-5)


@pytest.mark.parametrize(
    "shape", [(16, 16), (35, 35), (105, 105), (50, 33), (7, 40), (1, 2)]
)
def test_portable_resizing_agrees_with_preprocessing(shape):
    images = draw_images(2, *shape)
    preprocessing = Preprocessing(16)
    np.testing.assert_allclose(
        preprocessing(fit_by_products(images, 16)),
        preprocessing(images),
        atol=1e-6,
    )


def test_an_export_of_another_model_is_refused(model, exported):
    other = keras.models.clone_model(model)
    with pytest.raises(RuntimeError, match=r"saved_model differs .* by \d"):
        exporters.check_exports(other, exported)


def test_command_writes_checks_and_lists_every_format(model, tmp_path):
    matrices = views.sample_views(
        DISTORTIONS["elastic"], 2, np.random.default_rng(0)
    )
    views.add_views(model, matrices).save(tmp_path / "model.keras")
    formats = ["saved_model", "litert"] + ["onnx"] * HAS_ONNX
    where = ("--workdir=.", "--output=new/export")
    answer = call(
        "export", *where, f"--formats={','.join(formats)}", cwd=tmp_path
    )
    assert answer.returncode == 0, answer.stderr
    suffixes = ["tflite"] + ["onnx"] * HAS_ONNX
    stems = ("embedding", "verification", "matching")
    expected = {f"{stem}.{suffix}" for stem in stems for suffix in suffixes}
    expected.add("saved_model")
    assert {x.name for x in (tmp_path / "new/export").iterdir()} == expected
    assert [x.name for x in (tmp_path / "new").iterdir()] == ["export"]
    for metadata in read_metadata(tmp_path / "new/export"):
        assert metadata["image_size"] == 16
        thresholds = Thresholds(**metadata["thresholds"])
        assert thresholds.same == get_thresholds(model).same
        assert metadata["model_card"] == ""  # there is no train.flags
    for name in expected:
        assert f"new/export/{name}" in answer.stdout
    again = call("export", *where, cwd=tmp_path)
    assert_one_line(again, "--output=new/export is not empty")
    assert {x.name for x in (tmp_path / "new/export").iterdir()} == expected


def read_metadata(folder):
    """Yields the metadata of each export in a folder."""
    for path in folder.iterdir():
        if path.is_dir():
            text = (path / "assets.extra/metadata.json").read_text()
            yield json.loads(text)
        elif path.suffix == ".tflite":
            with zipfile.ZipFile(path) as archive:
                yield json.loads(archive.read("metadata.json"))
        else:
            import onnx

            texts = {"version", "images", "image_kind", "dataset"}
            texts |= {"model_card"}
            yield {
                x.key: x.value if x.key in texts else json.loads(x.value)
                for x in onnx.load(path).metadata_props
            }


def test_a_saved_model_embeds_no_image():
    endpoints = Endpoints(load_model(TINY_MODEL))
    none = tf.zeros((0, 40, 30, 1), tf.uint8)
    assert endpoints.embed(none)["embedding"].shape == (0, 216)
    assert endpoints.verify(none, none)["logit"].shape == (0,)


def test_portable_match_finds_the_best_support_or_none_of_these(portable):
    queries, supports = np.zeros((2, 96)), np.zeros((2, 96))
    queries[1, 0], supports[:, 0] = 10, (3, 2)  # distances 3, 2 and 7, 8
    names = ["matching.tflite"] + ["matching.onnx"] * HAS_ONNX
    for name in names:
        call_match = export_check.OPENERS[Path(name).suffix](portable / name)
        for num in (1, 2):
            answer = call_match(
                "match",
                queries.astype("float32"),
                supports[-num:].astype("float32"),
            )
            expected = [[-3, -2], [-7, -8]]
            np.testing.assert_array_equal(
                answer["score"], np.array(expected)[:, -num:]
            )
            assert answer["prediction"].tolist() == [num - 1, -1]


def test_the_model_card_of_a_run_has_its_flags_and_results(tmp_path):
    result = {
        "protocol": "lake",
        "dataset": "omniglot",
        "split": "test",
        "ways": 20,
        "shots": 1,
        "num_trials": 400,
        "accuracy": 0.875,
        "ci95": [0.838, 0.904],
        "nearest_neighbour": 0.2175,
    }
    card = format_model_card("--seed=3\n", [result])
    assert "    --seed=3\n" in card
    assert "    lake      omniglot test" in card
    assert "87.50 %" in card


@pytest.mark.skipif(not HAS_ONNX, reason="The extra 'export' is not installed.")
def test_onnx_files_state_their_axes_and_opset(portable):
    import onnx

    proto = onnx.load(portable / "verification.onnx")
    shape = proto.graph.input[0].type.tensor_type.shape.dim
    names = [dim.dim_param or dim.dim_value for dim in shape]
    assert names == ["batch", "first_height", "first_width", 1]
    [opset] = [x.version for x in proto.opset_import if not x.domain]
    assert opset == exporters.ONNX_OPSET


def save_photo_model(path):
    """Saves a model of photos, with random weights."""
    keras.utils.set_random_seed(0)
    embedding = build_fast_embedding(16, (4, 6), channels=3)
    head = build_fast_head(embedding.output.shape[-1])
    model = build_siamese(embedding, head)
    set_thresholds(model, Thresholds(0.0, (0.0, 0.0, -1.2)))
    model.save(path)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ONNX, reason="The extra 'export' is not installed.")
@pytest.mark.parametrize("kind", ["drawing", "photo"])
def test_example_script_answers_like_classify_without_tensorflow(
    kind, tmp_path
):
    model, names = TINY_MODEL, [f"c{x}.jpg" for x in range(5)]
    if kind == "photo":
        model = tmp_path / "photos.keras"
        save_photo_model(model)
        names = [f"c{x // 2}/{x}.jpg" for x in range(5)]
    known, queries = tmp_path / "known", tmp_path / "queries"
    for folder, drawer in ((known, 1), (queries, 2)):
        for character, name in enumerate(names):
            image = draw_glyph(0, character, drawer).resize((90, 120))
            # `read_drawing` has to clean the gray paper.
            paper = image.convert("L").point(lambda x: 60 + x * 150 // 255)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            paper.save(folder / name)
    answer = call(
        "export",
        *(f"--model={model}", "--output=exported", "--formats=onnx"),
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    script = REPOSITORY / "experiments" / "exported_model.py"
    code = (
        "import runpy, sys\n"
        "sys.modules.update(tensorflow=None, keras=None)\n"
        f"runpy.run_path({str(script)!r})"
    )
    paths = [str(queries / name) for name in names]
    answer = subprocess.run(
        [sys.executable, "-c", code, "exported", "known", *paths],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert answer.returncode == 0, answer.stderr
    rows = [line.split("\t") for line in answer.stdout.splitlines()]
    recognizer = Recognizer(model)
    recognizer.add(known)
    expected = recognizer.classify(paths)
    assert [path for path, _, _ in rows] == paths
    for (_, name, score), found in zip(rows, expected, strict=True):
        assert name == (found.name or "none of these")
        assert float(score) == pytest.approx(found.best.score, abs=0.006)
    found = {name for _, name, _ in rows}
    if kind == "drawing":
        assert found == {"c0", "c1", "c2", "c3", "none of these"}
    assert "none of these" in found
    assert len(found) > 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--model=a.keras"], "give --output=DIR"),
        (["--output=x", "--workdir=absent"], "absent has no model.keras"),
        (["--output=x", "--formats=onnx,coreml"], "--formats has 'coreml'"),
        (["--output=x", "--formats="], "--formats has ''"),
        ([f"--output={REPOSITORY}/tests"], "is not empty"),
        ([f"--output={__file__}"], "is a file"),
    ],
)
def test_bad_flags_get_one_line(arguments, part, tmp_path):
    assert_one_line(call("export", *arguments, cwd=tmp_path), part)
    assert not list(tmp_path.iterdir())
