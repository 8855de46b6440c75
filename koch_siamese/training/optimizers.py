"""The paper's layer-wise SGD, and Muon for convolutions."""

import functools
from collections.abc import Sequence

import keras
from keras import ops

from koch_siamese.backend import compile_with_xla
from koch_siamese.errors import InputError

# Section 3.2: the same in every layer.
INITIAL_MOMENTUM = 0.5
DECAY_PER_EPOCH = 0.99


@keras.saving.register_keras_serializable(package="koch_siamese")
class LayerwiseSGD(keras.optimizers.Optimizer):
    """SGD with momentum, learning rate and L2 of each layer (section 3.2).

    In epoch `t`, counted from 0, a weight `w` of layer `j` moves by

        v <- mu_j(t) v - eta_j 0.99^t (gradient + 2 lambda_j w);  w <- w + v

    where `mu_j(t)` rises linearly from 0.5 to `mu_j` within `ramp_epochs` or
    `ramp_steps`. (A typo in the paper's update makes L2 grow the weights.)
    Biases have no L2. The schedule is a pure function of `iterations`, so that
    a restored optimizer resumes it.

    The values of the layers are variables: one compiled step serves all values.

    Args:
        learning_rates: eta_j, one for each layer with weights, in the order in
            which the model creates them; or one for all.
        momentums: mu_j within 0..1, likewise.
        l2: lambda_j, likewise.
        steps_per_epoch: updates in an epoch.
        ramp_epochs: number of epochs until momentum has its final value; it
            rises at the beginning of each epoch.
        ramp_steps: the same in steps, so that it rises at each step; 0 to use
            `ramp_epochs`.
        learning_rate: a factor of all `learning_rates`.
    """

    def __init__(
        self,
        learning_rates: Sequence[float],
        momentums: Sequence[float],
        l2: Sequence[float],
        steps_per_epoch: int,
        ramp_epochs: int,
        ramp_steps: int = 0,
        learning_rate: float = 1.0,
        name: str = "layerwise_sgd",
        **kwargs,
    ):
        """Makes the optimizer; `build` finds its layers."""
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.learning_rates = tuple(learning_rates)
        self.momentums = tuple(momentums)
        self.l2 = tuple(l2)
        self.steps_per_epoch = steps_per_epoch
        self.ramp_epochs = ramp_epochs
        self.ramp_steps = ramp_steps
        # Compiled, it is one pass over the weights instead of six.
        self._move = compile_with_xla(_move)

    def build(self, variables):
        """Creates a velocity for each variable, and finds its layer.

        Raises:
            InputError: the number of values is neither one nor that of layers.
        """
        if self.built:
            return
        super().build(variables)
        layers = [variable.path.rpartition("/")[0] for variable in variables]
        order = {layer: i for i, layer in enumerate(dict.fromkeys(layers))}
        self._layer = [order[layer] for layer in layers]
        self._has_l2 = [x.path.endswith("kernel") for x in variables]
        self.velocities = self.add_optimizer_variables(variables, "velocity")
        # Last, because older files end before these variables.
        self._eta, self._mu, self._lambda = (
            self._add_values(name, getattr(self, name), len(order))
            for name in ("learning_rates", "momentums", "l2")
        )

    def _add_values(self, name, values, num_layers):
        """Adds a variable `[num_layers]` with the values of the layers."""
        values = broadcast_to_layers(name, values, num_layers)
        return self.add_variable(
            (num_layers,),
            initializer=lambda shape, dtype: ops.convert_to_tensor(
                values, dtype
            ),
            name=f"layer_{name}",
        )

    def load_own_variables(self, store):
        """Loads variables; older files have no values of the layers."""
        num_values = len((self._eta, self._mu, self._lambda))
        older = self.variables[:-num_values]
        if len(store.keys()) != len(older):
            return super().load_own_variables(store)
        for index, variable in enumerate(older):
            variable.assign(store[str(index)])

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable."""
        index = self._get_variable_index(variable)
        layer, velocity = self._layer[index], self.velocities[index]
        epoch = ops.cast(self.iterations // self.steps_per_epoch, "float32")
        ramp = ops.minimum(self._get_ramp(epoch), 1.0)
        momentum = (
            INITIAL_MOMENTUM + (self._mu[layer] - INITIAL_MOMENTUM) * ramp
        )
        rate = learning_rate * self._eta[layer] * DECAY_PER_EPOCH**epoch
        l2 = self._lambda[layer] if self._has_l2[index] else 0.0
        weights, step = self._move(
            # Tensors: a function compiled for a distributed variable keeps it.
            ops.stop_gradient(variable),
            ops.stop_gradient(velocity),
            gradient,
            *(ops.cast(x, velocity.dtype) for x in (momentum, rate, l2)),
        )
        self.assign(velocity, step)
        self.assign(variable, weights)

    def _get_ramp(self, epoch):
        """The progress of the momentum's rise: 1 or more at its end."""
        if self.ramp_steps:
            return ops.cast(self.iterations, "float32") / self.ramp_steps
        return epoch / self.ramp_epochs

    def get_config(self):
        """Returns the config of the optimizer."""
        return super().get_config() | {
            "learning_rates": self.learning_rates,
            "momentums": self.momentums,
            "l2": self.l2,
            "steps_per_epoch": self.steps_per_epoch,
            "ramp_epochs": self.ramp_epochs,
            "ramp_steps": self.ramp_steps,
        }


def _move(weights, velocity, gradient, momentum, rate, l2):
    """Computes new weights and velocity."""
    step = momentum * velocity - rate * (gradient + 2 * l2 * weights)
    return weights + step, step


def broadcast_to_layers(
    name: str, values: Sequence[float], num_layers: int
) -> Sequence[float]:
    """Broadcasts values to layers: one for all, or one for each.

    Args:
        name: the name of the values in the error message.
        values: one, or `num_layers`.
        num_layers: number of layers that have weights.

    Raises:
        InputError: there is another number of values.
    """
    if len(values) not in (1, num_layers):
        raise InputError(
            f"The model has {num_layers} layers with weights; got "
            f"{len(values)} {name}: give one, or one for each layer."
        )
    return values if len(values) > 1 else values * num_layers


@keras.saving.register_keras_serializable(package="koch_siamese")
class ConvolutionMuon(keras.optimizers.Muon):
    """Muon (Jordan et al. 2024) for the filters of convolutions.

    Momentum, as a matrix with one column for each filter, is made orthogonal
    before it is applied; an entry changes by about 0.2 of the learning rate, as
    with Adam. All other variables are updated by Adam. Keras' own Muon leaves
    convolutions to Adam.

    Args:
        learning_rate: a number or schedule.
        adam_lr_ratio: the learning rate of Adam, as a multiple of it.
    """

    def __init__(
        self,
        learning_rate,
        adam_lr_ratio: float = 0.5,
        name: str = "convolution_muon",
        **kwargs,
    ):
        """Makes the optimizer."""
        defaults = {
            "adam_lr_ratio": adam_lr_ratio,
            "adam_beta_2": 0.99,
            "adam_weight_decay": None,
            "weight_decay": None,
        }
        super().__init__(learning_rate, name=name, **defaults | kwargs)

    def _should_use_adamw(self, variable):
        return len(variable.shape) != 4

    def zeropower_via_newtonschulz5(self, x, steps):
        """Computes the orthogonal matrix nearest to filters, in their shape.

        In each of Keras' iterations, a matrix is multiplied by a polynomial of
        its Gram matrix. Here, the polynomials are computed from the Gram
        matrices alone, which are smaller, and the matrix is multiplied once, at
        the end. This takes half the time.
        """
        matrix = _as_matrix(x)
        matrix = matrix / (ops.norm(matrix) + 1e-7)
        is_tall = matrix.shape[0] > matrix.shape[1]
        transposed = ops.transpose(matrix)
        gram = transposed @ matrix if is_tall else matrix @ transposed
        polynomials = []
        for _ in range(steps):
            polynomials.append(
                self.muon_a * ops.eye(gram.shape[0], dtype=gram.dtype)
                + self.muon_b * gram
                + self.muon_c * gram @ gram
            )
            gram = polynomials[-1] @ gram @ polynomials[-1]
        product = functools.reduce(ops.matmul, polynomials)
        matrix = matrix @ product if is_tall else product @ matrix
        return ops.reshape(matrix, x.shape)

    def lr_adjust(self, x):
        """Scales an update of filters as that of a matrix, in their shape."""
        return ops.reshape(super().lr_adjust(_as_matrix(x)), x.shape)


def _as_matrix(filters):
    return ops.reshape(filters, (-1, filters.shape[-1]))
