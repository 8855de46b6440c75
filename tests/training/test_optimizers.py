import keras
import numpy as np
import pytest
import tensorflow as tf

from koch_siamese.errors import InputError
from koch_siamese.training.optimizers import ConvolutionMuon, LayerwiseSGD


def build_two_layers():
    """Builds two dense layers, z and a, each with one weight and one bias."""
    return keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(1, kernel_initializer="ones", name="z"),
            keras.layers.Dense(1, kernel_initializer="ones", name="a"),
        ]
    )


def build_optimizer(**changes):
    arguments = {
        "learning_rates": (0.1, 0.2),
        "momentums": (0.9, 0.5),
        "l2": (0.05, 0.0),
        "steps_per_epoch": 2,
        "ramp_epochs": 4,
    }
    return LayerwiseSGD(**arguments | changes)


def apply(optimizer, model, gradients):
    gradients = [
        np.full(variable.shape, gradient, np.float32)
        for variable, gradient in zip(
            model.trainable_variables, gradients, strict=True
        )
    ]
    optimizer.apply(
        [keras.ops.convert_to_tensor(x) for x in gradients],
        model.trainable_variables,
    )
    return [float(np.squeeze(x)) for x in model.get_weights()]


def test_three_steps_and_two_epochs_by_hand():
    model = build_two_layers()
    # Half of 0.2 and 0.4: the learning rates are 0.1 and 0.2.
    optimizer = build_optimizer(learning_rates=(0.2, 0.4), learning_rate=0.5)
    # Epoch 0: the momentum of both layers is 0.5, and all velocities v are 0.
    # Kernel of z, with l2: v = -0.1 (1 + 2 * 0.05 * 1) = -0.11; bias: v = -0.1.
    # Kernel and bias of a, without l2: v = -0.2.
    weights = apply(optimizer, model, [1, 1, 1, 1])
    assert weights == pytest.approx([0.89, -0.1, 0.8, -0.2])
    # Kernel of z: v = 0.5 * -0.11 - 0.1 (1 + 2 * 0.05 * 0.89) = -0.1639; bias:
    # v = 0.5 * -0.1 - 0.1 = -0.15. Both of a: v = 0.5 * -0.2 - 0.2 = -0.3.
    weights = apply(optimizer, model, [1, 1, 1, 1])
    assert weights == pytest.approx([0.7261, -0.25, 0.5, -0.5])
    # Epoch 1: learning rates are multiplied by 0.99. The momentum of z is
    # 0.5 + 0.4 / 4 = 0.6, that of a is 0.5.
    # Kernel of z: v = 0.6 * -0.1639 - 0.099 (1 + 2 * 0.05 * 0.7261)
    # = -0.20452839; bias: v = 0.6 * -0.15 - 0.099 = -0.189.
    # Both of a: v = 0.5 * -0.3 - 0.198 = -0.348.
    weights = apply(optimizer, model, [1, 1, 1, 1])
    assert weights == pytest.approx([0.52157161, -0.439, 0.152, -0.848])


def test_momentum_stays_at_its_final_value():
    model = build_two_layers()
    optimizer = build_optimizer(l2=(0.0,), learning_rates=(0.0,))
    optimizer.build(model.trainable_variables)
    for velocity in optimizer.velocities:
        velocity.assign(np.ones(velocity.shape))
    optimizer.iterations.assign(2 * 4 * 100)
    weights = apply(optimizer, model, [1, 1, 1, 1])
    assert weights == pytest.approx([1.9, 0.9, 1.5, 0.5])


def test_next_step_is_the_same_after_saving_and_loading(tmp_path):
    model = build_two_layers()
    model.compile(build_optimizer(), "mse")
    x = np.linspace(-1, 1, 8, dtype=np.float32)[:, np.newaxis]
    model.fit(x, 3 * x, batch_size=2, epochs=2, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        one.fit(x, 3 * x, batch_size=2, epochs=1, verbose=0, shuffle=False)
    for one, other in zip(
        model.get_weights(), loaded.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_config_has_all_arguments():
    optimizer = build_optimizer(ramp_steps=8, learning_rate=0.25)
    again = LayerwiseSGD.from_config(optimizer.get_config())
    assert again.learning_rates == (0.1, 0.2)
    assert (again.momentums, again.l2) == ((0.9, 0.5), (0.05, 0.0))
    assert (again.steps_per_epoch, again.ramp_epochs) == (2, 4)
    assert (again.ramp_steps, float(again.learning_rate)) == (8, 0.25)


def test_wrong_number_of_values_is_refused():
    model, optimizer = build_two_layers(), build_optimizer(l2=(0, 0, 0))
    with pytest.raises(InputError, match="2 layers with weights; got 3 l2"):
        optimizer.build(model.trainable_variables)


def test_muon_updates_do_not_depend_on_gradient_scale():
    layer = keras.layers.Conv2D(2, (3, 1), kernel_initializer="zeros")
    layer.build((None, 8, 8, 1))
    optimizer = ConvolutionMuon(0.5)
    # One filter's gradient is 100 times the other's, at right angles to it.
    gradient = np.float32([[3.0, 0.04], [0.0, 0.0], [4.0, -0.03]])
    optimizer.apply(
        [
            keras.ops.convert_to_tensor(gradient.reshape(3, 1, 1, 2)),
            keras.ops.convert_to_tensor([2.0, -7.0]),
        ],
        layer.trainable_variables,
    )
    kernel, bias = layer.get_weights()
    # Filters move by 0.5 * 0.2 * sqrt(3), where 3 is the longer side of the
    # 3 x 2 matrix. Five Newton-Schulz steps find the length to within a third.
    moved = kernel[:, 0, 0] / (-0.1 * np.sqrt(3))
    lengths = np.linalg.norm(moved, axis=0)
    assert np.all((lengths > 0.67) & (lengths < 1.33))
    np.testing.assert_allclose(
        moved / lengths, [[0.6, 0.8], [0, 0], [0.8, -0.6]], atol=1e-3
    )
    # Adam's first step equals its learning rate, by default half of Muon's.
    np.testing.assert_allclose(bias, [-0.25, 0.25], rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 3, 1, 16), (3, 3, 8, 16)])
def test_muon_orthogonalizes_as_keras_does(shape):
    rng = np.random.default_rng(0)
    rows, columns = np.prod(shape[:3]), shape[3]
    # Scales differ between the directions of a momentum, here up to 1000-fold.
    scales = np.geomspace(1, 1e-3, columns)
    matrix = np.float32(rng.normal(size=(rows, columns)) * scales)
    optimizer = ConvolutionMuon(0.1)
    filters = keras.ops.convert_to_tensor(matrix.reshape(shape))
    np.testing.assert_allclose(
        optimizer.zeropower_via_newtonschulz5(filters, 5).numpy(),
        keras.optimizers.Muon.zeropower_via_newtonschulz5(
            optimizer, keras.ops.convert_to_tensor(matrix), 5
        )
        .numpy()
        .reshape(shape),
        atol=1e-4,
    )


def test_adam_updates_all_other_variables_at_its_learning_rate():
    layer = keras.layers.Conv2D(2, 3)
    layer.build((None, 8, 8, 1))
    dense = keras.layers.Dense(2, kernel_initializer="zeros")
    dense.build((None, 3))
    variables = layer.trainable_variables + dense.trainable_variables
    optimizer = ConvolutionMuon(0.5, adam_lr_ratio=0.01)
    optimizer.apply([keras.ops.ones_like(x) for x in variables], variables)
    for weights in (layer.bias, dense.kernel, dense.bias):
        np.testing.assert_allclose(weights, -0.005, rtol=1e-5)
    # Without a gradient, the means of 0.9 and 0.99 are 0.09 / (1 - 0.9^2) and
    # 0.0099 / (1 - 0.99^2): another step of 0.09 / 0.19 / sqrt(0.0099 / 0.0199)
    # = 0.67159 times as much.
    optimizer.apply([keras.ops.zeros_like(x) for x in variables], variables)
    for weights in (layer.bias, dense.kernel, dense.bias):
        np.testing.assert_allclose(weights, -0.005 * 1.67159, rtol=1e-5)


def test_weight_decay_of_muon_shrinks_only_filters():
    layer = keras.layers.Conv2D(2, 3, bias_initializer="ones")
    layer.build((None, 8, 8, 1))
    before = np.array(layer.kernel)
    optimizer = ConvolutionMuon(0.5, weight_decay=0.1)
    no_gradients = [keras.ops.zeros_like(x) for x in layer.trainable_variables]
    optimizer.apply(no_gradients, layer.trainable_variables)
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(kernel, 0.95 * before, rtol=1e-6)
    np.testing.assert_array_equal(bias, [1, 1])


def test_muon_is_the_same_after_saving_and_loading(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(3, 2),
            keras.layers.Flatten(),
        ]
    )
    model.compile(ConvolutionMuon(0.01), "mse")
    x = np.random.default_rng(0).random((8, 4, 4, 1), np.float32)
    y = np.ones((8, 27), np.float32)
    model.fit(x, y, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        one.fit(x, y, verbose=0, shuffle=False)
    np.testing.assert_array_equal(
        model.get_weights()[0], loaded.get_weights()[0]
    )


def test_momentum_rises_at_each_step():
    model = build_two_layers()
    optimizer = build_optimizer(
        learning_rates=(0.0,), l2=(0.0,), momentums=(0.9,), ramp_steps=8
    )
    optimizer.build(model.trainable_variables)
    for step, momentum in ((0, 0.5), (2, 0.6), (8, 0.9), (99, 0.9)):
        for velocity in optimizer.velocities:
            velocity.assign(np.ones(velocity.shape))
        optimizer.iterations.assign(step)
        before = [float(np.squeeze(x)) for x in model.get_weights()]
        after = apply(optimizer, model, [1, 1, 1, 1])
        assert np.subtract(after, before) == pytest.approx(
            [momentum] * 4, abs=1e-6
        )


def test_compiled_step_uses_changed_learning_rates():
    model, optimizer = build_two_layers(), build_optimizer(momentums=(0.5,))
    optimizer.build(model.trainable_variables)
    gradients = [keras.ops.ones_like(x) for x in model.trainable_variables]

    @tf.function
    def step():
        optimizer.apply(gradients, model.trainable_variables)

    step()
    traces = step.experimental_get_tracing_count()
    rates = next(x for x in optimizer.variables if "learning_rates" in x.path)
    rates.assign([0.0, 0.0])
    for velocity in optimizer.velocities:
        velocity.assign(np.zeros(velocity.shape))
    before = model.get_weights()
    step()
    assert step.experimental_get_tracing_count() == traces
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_optimizers_of_earlier_versions_are_loaded():
    model, optimizer = build_two_layers(), build_optimizer()
    apply(optimizer, model, [1, 2, 3, 4])
    store = {}
    optimizer.save_own_variables(store)
    # Earlier versions did not store the last three, the values of the layers.
    older = {str(i): store[str(i)] for i in range(len(store) - 3)}
    loaded = build_optimizer()
    loaded.build(model.trainable_variables)
    loaded.load_own_variables(older)
    for one, other in zip(optimizer.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(one, other)
