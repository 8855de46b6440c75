import keras
import numpy as np
import pytest
from conftest import build_fast_siamese

from koch_siamese.errors import InputError
from koch_siamese.models import loading, views
from koch_siamese.models.embeddings import build_fast_embedding
from koch_siamese.models.heads import EuclideanDistance
from koch_siamese.models.layers import Views
from koch_siamese.models.siamese import (
    build_siamese,
    compute_fingerprint,
    copy_siamese,
    get_crop,
    get_embedding,
    get_filters,
    get_head,
    get_image_size,
    get_thresholds,
    set_crop,
    set_thresholds,
)
from koch_siamese.models.thresholds import Thresholds
from koch_siamese.models.warp import warp, warp_in_all_ways
from koch_siamese.sampling.distortions import DISTORTIONS

RANGES = DISTORTIONS["elastic"]
THRESHOLDS = Thresholds(0.5, (1.0, 2.0))


def draw(num, size=16):
    rng = np.random.default_rng(7)
    return rng.integers(0, 256, (num, size, size, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def matrices():
    return views.sample_views(RANGES, 3, np.random.default_rng(1))


@pytest.fixture(scope="module")
def siamese():
    keras.utils.set_random_seed(0)
    siamese = build_fast_siamese(16, (4, 8))
    # All distances have different weights, so that their order matters.
    head = get_head(siamese)
    head.set_weights([np.linspace(-1, 1, 128), np.array(0.25)])
    return siamese


def test_first_view_is_the_unchanged_drawing(matrices):
    assert matrices.shape[0] == 3
    images = draw(1)
    warped = warp_in_all_ways(images, matrices)
    np.testing.assert_array_equal(warped[0], images[0])
    assert np.abs(warped[1:] - images).mean(axis=(1, 2, 3)).min() > 1
    bent = DISTORTIONS["metamorphic"]  # by waves, too
    first = views.sample_views(bent, 1, np.random.default_rng(0))
    np.testing.assert_array_equal(first[0], np.eye(2, 13))


def as_set(images):
    return {np.asarray(image).astype(int).tobytes() for image in images}


@pytest.mark.parametrize(("turned", "mirrored"), [(1, 0), (0, 1), (1, 1)])
def test_views_cycle_through_the_symmetries(turned, mirrored):
    image = draw(1)
    expected = [image[0]]
    if mirrored:
        expected.append(image[0, :, ::-1])
    if turned:
        expected = [np.rot90(x, turns) for x in expected for turns in range(4)]
    matrices = views.sample_views(
        DISTORTIONS["none"],
        len(expected) + 1,
        np.random.default_rng(0),
        turned=bool(turned),
        mirrored=bool(mirrored),
    )
    seen = warp_in_all_ways(image, matrices)
    assert as_set(seen[:-1]) == as_set(expected)
    np.testing.assert_array_equal(seen[-1], image[0])


def test_views_are_turned_and_then_distorted():
    def sample(ranges, **symmetries):
        rng = np.random.default_rng(3)
        return views.sample_views(DISTORTIONS[ranges], 3, rng, **symmetries)

    turned = warp_in_all_ways(draw(1), sample("none", turned=True))
    np.testing.assert_allclose(
        warp_in_all_ways(draw(1), sample("elastic", turned=True)),
        warp(turned, sample("elastic")),
        atol=1e-3,
    )


def test_views_are_the_warps_of_each_drawing(matrices):
    images = draw(2)
    together = warp_in_all_ways(images, matrices, 0.0)
    for place, (image, matrix) in enumerate(
        (image, matrix) for image in images for matrix in matrices
    ):
        alone = warp(image[np.newaxis], matrix[np.newaxis], 0.0)[0]
        np.testing.assert_allclose(together[place], alone, atol=1e-4)


@pytest.mark.parametrize("fill", [0.0, 0.5, None])
def test_layer_of_views_is_restored_with_its_fill_value(matrices, fill):
    layer = Views(3, matrices.shape[2], fill)
    layer = Views.from_config(layer.get_config())
    ink = draw(2) / np.float32(255)
    layer.build(ink.shape)
    assert not layer.trainable_weights
    layer.set_weights([matrices])
    expected = warp_in_all_ways(ink, matrices, fill)
    np.testing.assert_array_equal(layer(ink), expected)


def test_a_score_is_the_mean_over_the_views(siamese, matrices):
    model = views.add_views(siamese, matrices)
    first, second = draw(4)[:2], draw(4)[2:]
    scores = [
        siamese(
            {
                "first": warp(first, matrix[np.newaxis].repeat(2, axis=0)),
                "second": warp(second, matrix[np.newaxis].repeat(2, axis=0)),
            }
        )
        for matrix in matrices
    ]
    np.testing.assert_allclose(
        model({"first": first, "second": second}),
        np.mean(scores, axis=0),
        rtol=1e-4,
        atol=1e-5,
    )
    assert np.ptp(scores, axis=0).min() > 1e-3
    assert get_image_size(model) == 16
    np.testing.assert_array_equal(get_filters(model), get_filters(siamese))


def test_views_are_saved_and_can_be_removed(siamese, matrices, tmp_path):
    pair = {"first": draw(2, 20)[:1], "second": draw(2, 20)[1:]}
    model = views.add_views(siamese, matrices)
    model.save(tmp_path / "model.keras")
    loaded = loading.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(pair), model(pair))
    np.testing.assert_allclose(
        views.remove_views(loaded)(pair), siamese(pair), rtol=1e-5
    )
    assert views.remove_views(siamese) is siamese
    assert [views.count_views(x) for x in (loaded, siamese)] == [3, 1]
    with pytest.raises(InputError, match="has views"):
        views.add_views(loaded, matrices)
    again = views.add_views(views.remove_views(loaded), matrices)
    np.testing.assert_allclose(again(pair), model(pair), rtol=1e-5)


def test_crop_and_thresholds_stay_without_views(siamese, matrices):
    model = views.add_views(siamese, matrices)
    set_crop(model, False)
    set_thresholds(model, THRESHOLDS)
    changed = views.remove_views(model)
    assert not get_crop(changed)
    assert get_thresholds(changed) == THRESHOLDS


def test_fingerprint_depends_on_the_views(siamese, matrices):
    model = views.add_views(siamese, matrices)
    other = views.add_views(siamese, matrices[[0, 2, 1]])
    assert compute_fingerprint(model) != (compute_fingerprint(other))


def test_head_of_views_follows_the_trained_model(siamese, matrices):
    siamese = copy_siamese(siamese)
    model = views.add_views(siamese, matrices)
    get_head(siamese).set_weights([np.full(128, 3.0), np.array(-1.0)])
    views.update_head(model, siamese)
    kernel, bias = get_head(model).get_weights()
    np.testing.assert_array_equal(kernel, np.ones(3 * 128))
    assert bias == -1


def test_views_of_inverted_ink_are_refused(matrices):
    embedding = build_fast_embedding(16, (4, 8), ink_value=0)
    siamese = build_siamese(embedding)
    with pytest.raises(InputError, match="give --views=1, or train it with"):
        views.add_views(siamese, matrices)


def test_views_of_a_euclidean_head_are_refused(siamese, matrices):
    embedding = get_embedding(siamese)
    other = build_siamese(embedding, EuclideanDistance(name="logit"))
    with pytest.raises(InputError, match="this one has EuclideanDistance"):
        views.add_views(other, matrices)
