"""The course's networks: `fastnn.Sequential` models that go by the course's names and formulas."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.book.functions import class_labels, guarded_cross_entropy
from fastnn.checks import (
    Rng,
    as_array,
    as_real,
    one_of,
    positive_int,
    real_in,
    sequence,
    source_rows,
)
from fastnn.layers import Affine, BatchNorm, Layer, ReLU, Sigmoid, UnscaledDropout
from fastnn.model import CHUNK, Sequential
from fastnn.numerical import numerical_gradient

# From how many rows on classes are found in float32 first; how many of these are compared with
# float64; and how many times the most that it is off there float32 may be off elsewhere.
MANY_ROWS = 2 * CHUNK
COMPARED_ROWS = 128
SAFETY = 100

ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "sigmoid": Sigmoid}

# The course's names for a variance of 2 / n and of 1 / n, and what `Affine` calls them.
VARIANCES = {"relu": "he", "he": "he", "sigmoid": "lecun", "xavier": "lecun"}

# (course's name, kind of layer, its parameter)
NAMES = (
    ("W", "affine", "w"),
    ("b", "affine", "b"),
    ("gamma", "batchnorm", "gamma"),
    ("beta", "batchnorm", "beta"),
)


class Network:
    """Base: the course's interface to a float64 model.

    Attributes
    ----------
    params : dict
        ``W1``, ``b1``, ``gamma1``, ``beta1``, ``W2``...: float64 arrays, to be changed in place or
        replaced by others of their shapes.
    model : Sequential
        The fastnn model behind it.
    views : dict
        The arrays of ``params`` that are the model's own memory.
    training_passes : int
        Passes in training mode so far; each has its own dropout masks.
    weight_decay_lambda : float
        lambda: the loss has lambda / 2 times the squares of all W, their gradient lambda * W.
    """

    use_dropout: bool
    use_batchnorm: bool
    _predicts_probabilities = False

    def __init__(
        self, layers: Sequence[Layer], input_size: int, weight_decay_lambda: float, rng: Rng
    ) -> None:
        self.weight_decay_lambda = real_in("weight_decay_lambda", weight_decay_lambda, 0)
        self.model = Sequential(layers, positive_int("input_size", input_size), rng, "float64")
        self.model.flat_state[:] = 0  # the running variance too, which is one elsewhere
        self.training_passes = 0
        self._name_parts()
        self.params: dict[str, Any] = dict(self.views)

    def predict(self, x: Any, train_flg: bool = False) -> np.ndarray:
        """Scores of the classes, before softmax.

        Parameters
        ----------
        x : array_like, (N, ...) or (input_size,)
            Images of any shape are taken as rows; a single row gives a single row.
        train_flg : bool
            True: BatchNorm uses, and moves, its statistics; dropout drops.

        Returns
        -------
        ndarray, (N, output_size) or (output_size,)
        """
        rows = self.rows(x)
        scores = self._scores(rows, train_flg)
        return scores[0] if np.ndim(x) == 1 else scores

    def loss(self, x: Any, t: Any, train_flg: bool = False) -> float:
        """Cross-entropy of the softmax of `predict`, guarded by 1e-7, with the weight decay.

        Parameters
        ----------
        x : array_like, (N, ...)
        t : array_like, (N,) or (N, output_size)
            Labels, or one-hot rows.
        train_flg : bool
            As in `predict`.

        Raises
        ------
        TypeError, ValueError
            x or t of the wrong type, shape or range; a replaced array of ``params`` that does not
            fit.
        """
        rows = self.rows(x)
        labels = class_labels(t, len(rows), self.model.output_size)
        if not self._is_changed("predict"):
            return self._cross_entropy(self._scores(rows, train_flg), labels) + self._decay()
        own = np.ascontiguousarray(self.predict(x, *self._mode(train_flg)), np.float64)
        if self._predicts_probabilities:
            return guarded_cross_entropy(own, labels) + self._decay()
        return self._cross_entropy(own, labels) + self._decay()

    def accuracy(self, x: Any, t: Any) -> float:
        """The share of the rows whose largest score is that of their label."""
        rows = self.rows(x)
        labels = class_labels(t, len(rows), self.model.output_size)
        changed = self._is_changed("predict")
        classes = self.predict(x).argmax(axis=1) if changed else self._classes(rows)
        return int(np.count_nonzero(classes == labels)) / len(labels)

    def gradient(self, x: Any, t: Any) -> dict[str, np.ndarray]:
        """The gradient of ``loss(x, t, train_flg=True)`` by backpropagation; the keys of `params`.

        The arrays are the caller's. Each call draws new dropout masks. As in the course, the guard
        of the logarithm does not enter: it changes the gradient by less than a millionth, unless
        the probability of the label is as small as the guard.
        """
        rows = self.rows(x)
        labels = class_labels(t, len(rows), self.model.output_size)
        self._adopt()
        scores = self._train_scores(rows)
        dscores = np.empty_like(scores)
        self._kernels.softmax_cross_entropy(scores, labels, None, np.empty_like(scores), dscores)
        self.model.backward_rows(dscores)
        self._decay(into_gradients=True)
        return {name: gradient.copy() for name, gradient in self._gradients.items()}

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, np.ndarray]:
        """The gradient of ``loss(x, t, train_flg=True)`` by central differences.

        Two passes for each single parameter. All use the dropout masks of the last `gradient` (or
        of the first, if there was none), so that the two can be compared; BatchNorm's running
        averages are afterwards what they were.
        """
        rows = as_real(self.rows(x), self.model.dtype)
        labels = class_labels(t, len(rows), self.model.output_size)
        self._adopt()
        passes = self.training_passes
        masks = max(passes - 1, 0)
        averages = self.model.flat_state.copy()

        def loss(_: np.ndarray) -> float:
            scores = self.model.forward_rows(rows, train=True, step=masks)
            return self._cross_entropy(scores, labels) + self._decay()

        def own_loss(_: np.ndarray) -> float:
            self.training_passes = masks
            return self.loss(x, t, *self._mode(True))

        try:
            if self._is_changed("loss") or self._is_changed("predict"):
                return {
                    name: numerical_gradient(own_loss, self.params[name]) for name in self.views
                }
            return {name: numerical_gradient(loss, view) for name, view in self.views.items()}
        finally:
            self.model.flat_state[:] = averages
            self.training_passes = passes

    # -- copies ------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: None stands for those params that are the model's own memory."""
        own = self.views
        params = {name: None if p is own.get(name) else p for name, p in self.params.items()}
        parts = ("views", "_gradients", "_kernels", "_rounded")
        return {k: v for k, v in vars(self).items() if k not in parts} | {"params": params}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._name_parts()
        for name, value in self.params.items():
            if value is None:
                self.params[name] = self.views[name]

    # -- parts -------------------------------------------------------------------------------------

    def _is_changed(self, method: str) -> bool:
        """Whether a class derived from ours has a method of its own: it is called then."""
        return getattr(type(self), method).__module__ != __name__

    def _mode(self, train_flg: bool) -> tuple[bool, ...]:
        """What to hand on to such a method: the two-layer networks' know no modes."""
        return (train_flg,) if self.use_dropout or self.use_batchnorm else ()

    def _name_parts(self) -> None:
        """What the model's parts are to the course: their names, and what a batch may be."""
        self._kernels = self.model.backend.kernels
        self.views = self.by_course_name(self.model.params)
        self._gradients = self.by_course_name(self.model.grads)
        self._rounded: Sequential | None = None
        for layer in self.model.layers:
            if isinstance(layer, BatchNorm):
                layer.fewest_rows = 1  # the course checks its gradient with one image

    def by_course_name(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        count = sum(layer.kind == "affine" for layer in self.model.layers)
        return {
            f"{name}{number}": arrays[f"{kind}{number}.{key}"]
            for number in range(1, count + 1)
            for name, kind, key in NAMES
            if f"{kind}{number}.{key}" in arrays
        }

    def _adopt(self) -> None:
        """Take over the values of arrays that were put into ``params`` in place of ours."""
        for name, view in self.views.items():
            value = self.params.get(name)
            if value is view:
                continue
            array = np.asarray(value)
            if array.shape != view.shape or array.dtype.kind not in "fiu":
                raise ValueError(
                    f"params[{name!r}] must be an array of real numbers of shape {view.shape}; "
                    f"got {'none' if value is None else f'{array.dtype} of shape {array.shape}'}"
                )
            view[...] = array

    def rows(self, x: Any) -> np.ndarray:
        array = as_array("x", x)
        if array.ndim != 2:
            array = array.reshape(1 if array.ndim == 1 else len(array), -1) if array.ndim else array
        if array.dtype == np.uint8:
            array = array.astype(np.float32)  # the course takes bytes as they are, 0 to 255
        return source_rows("x", array, self.model.input_shape, self.model.dtype)

    def _scores(self, rows: np.ndarray, train: bool = False) -> np.ndarray:
        self._adopt()
        if train:
            return self._train_scores(rows).copy()
        if len(rows) < CHUNK:  # where products go to as many threads as BLAS has
            return self.model.forward_rows(as_real(rows, self.model.dtype)).copy()
        return self.model.predict_rows(rows)

    def _train_scores(self, rows: np.ndarray) -> np.ndarray:
        batch = as_real(rows, self.model.dtype)
        scores = self.model.forward_rows(batch, train=True, step=self.training_passes)
        self.training_passes += 1
        return scores

    def _classes(self, rows: np.ndarray) -> np.ndarray:
        """Where the scores of each row are largest.

        Of many rows, the scores are computed in float32, in half the time; and once more in
        float64 for those few rows whose two best scores are so close that rounding might decide.
        """
        self._adopt()
        # Not by BLAS's own threads: for a while they would go on to hold a core, waiting.
        scores = self.model.predict_rows(rows if len(rows) < MANY_ROWS else rows[:COMPARED_ROWS])
        if len(scores) == len(rows):
            return scores.argmax(axis=1)
        with np.errstate(all="ignore"):  # what is too large for float32 is never certain
            quick = self._rounded_model().predict_rows(rows)
            size = np.abs(quick).max(axis=1)
            off = np.abs(quick[: len(scores)] - scores).max(axis=1) / size[: len(scores)]
            margin = 2 * SAFETY * max(float(off.max()), float(np.finfo(np.float32).eps))
            best = (
                np.partition(quick, -2, axis=1)[:, -2:] if quick.shape[1] > 1 else quick[:, [0, 0]]
            )
            certain = best[:, 1] - best[:, 0] > margin * size
        classes = quick.argmax(axis=1)
        if not certain.all():
            classes[~certain] = self.model.predict_rows(rows[~certain]).argmax(axis=1)
        return classes

    def _rounded_model(self) -> Sequential:
        """The model in float32, without dropout, whose factor goes into the weights after it."""
        model = self.model
        if self._rounded is None:
            layers = [
                type(layer).from_settings(layer.settings())
                for layer in model.layers
                if not isinstance(layer, UnscaledDropout)
            ]
            self._rounded = Sequential(layers, model.input_shape, 0, "float32", model.backend.name)
        for name, view in (self._rounded.params | self._rounded.state).items():
            view[...] = (model.params | model.state)[name]
        dropouts = [layer for layer in model.layers if isinstance(layer, UnscaledDropout)]
        for number, layer in enumerate(dropouts, start=2):
            self._rounded.params[f"affine{number}.w"] *= 1 - layer.ratio
        return self._rounded

    def _cross_entropy(self, scores: np.ndarray, labels: np.ndarray) -> float:
        probabilities = np.empty_like(scores)
        self._kernels.softmax_forward(scores, probabilities)
        return guarded_cross_entropy(probabilities, labels)

    def _decay(self, into_gradients: bool = False) -> float:
        strength = self.weight_decay_lambda
        if not strength:
            return 0.0
        return sum(
            self._kernels.l2_penalty(
                view, strength, self._gradients[name] if into_gradients else None
            )
            for name, view in self.views.items()
            if name.startswith("W")
        )


class MultiLayerNetExtend(Network):
    """Affine, BatchNorm, activation and dropout for each hidden layer, and a last affine one.

    Parameters
    ----------
    input_size : int
    hidden_size_list : sequence of int
    output_size : int
    activation : {"relu", "sigmoid"}
    weight_init_std : {"relu", "he", "sigmoid", "xavier"} or float
        Standard deviation of the initial W: sqrt(2 / n) for the first two, sqrt(1 / n) for the
        others, n being the inputs of the layer; or a number.
    weight_decay_lambda : float
    use_dropout : bool
    dropout_ration : float
        Probability to drop. In training the others stay as they are; in inference everything is
        scaled by ``1 - dropout_ration``.
    use_batchnorm : bool
        eps is 1e-6, momentum 0.9, the running averages start at zero.
    rng : int or numpy.random.Generator, optional
        Draws the weights and the dropout masks.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.

    Examples
    --------
    >>> network = MultiLayerNetExtend(784, [100, 100], 10, use_batchnorm=True, rng=0)
    >>> sorted(network.params)
    ['W1', 'W2', 'W3', 'b1', 'b2', 'b3', 'beta1', 'beta2', 'gamma1', 'gamma2']
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: str | float = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
        rng: Rng = None,
    ) -> None:
        self.input_size = input_size
        self.hidden_size_list = sequence("hidden_size_list", hidden_size_list, "numbers of units")
        self.hidden_layer_num = len(self.hidden_size_list)
        self.output_size = positive_int("output_size", output_size)
        self.use_dropout = use_dropout
        self.use_batchnorm = use_batchnorm
        if not isinstance(activation, str):
            raise TypeError(f"activation must be a name; got {activation!r}")
        make_activation = one_of("activation", activation.lower(), ACTIVATIONS)
        init = _init(weight_init_std)
        real_in("dropout_ration", dropout_ration, 0, 1, open_high=True)
        layers: list[Layer] = []
        for units in self.hidden_size_list:
            layers.append(Affine(positive_int("hidden_size_list", units), init))
            if use_batchnorm:
                layers.append(BatchNorm(momentum=0.9, eps=1e-6))
            layers.append(make_activation())
            if use_dropout:
                layers.append(UnscaledDropout(dropout_ration))
        layers.append(Affine(self.output_size, init))
        super().__init__(layers, input_size, weight_decay_lambda, rng)


class MultiLayerNet(MultiLayerNetExtend):
    """Affine and activation for each hidden layer, and a last affine one.

    Parameters and errors are those of `MultiLayerNetExtend`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: str | float = "relu",
        weight_decay_lambda: float = 0,
        rng: Rng = None,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size_list,
            output_size,
            activation,
            weight_init_std,
            weight_decay_lambda,
            rng=rng,
        )


class TwoLayerNet(MultiLayerNet):
    """Affine, ReLU, affine: the two-layer network of the chapter on backpropagation.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
    weight_init_std : float
        Standard deviation of the initial W1 and W2.
    rng : int or numpy.random.Generator, optional

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.

    Examples
    --------
    >>> network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10, rng=0)
    >>> network.params["W1"].shape
    (784, 50)
    """

    _hidden = "relu"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        rng: Rng = None,
    ) -> None:
        units = positive_int("hidden_size", hidden_size)
        super().__init__(input_size, [units], output_size, self._hidden, weight_init_std, rng=rng)


class TwoLayerNetSigmoid(TwoLayerNet):
    """Affine, sigmoid, affine, softmax: the two-layer network of the chapter on training.

    Parameters and errors are those of `TwoLayerNet`; `predict` returns probabilities.
    """

    _hidden = "sigmoid"
    _predicts_probabilities = True

    def predict(self, x: Any, train_flg: bool = False) -> np.ndarray:
        """Probabilities of the classes for x, of the shape of `TwoLayerNet.predict`'s scores."""
        scores = np.atleast_2d(super().predict(x, train_flg))
        probabilities = np.empty_like(scores)
        self._kernels.softmax_forward(scores, probabilities)
        return probabilities[0] if np.ndim(x) == 1 else probabilities


# Whose steps have a native form; a class derived from one of them may change what a step is.
NETWORKS = (MultiLayerNetExtend, MultiLayerNet, TwoLayerNet, TwoLayerNetSigmoid)


def _init(weight_init_std: str | float) -> str | float:
    if isinstance(weight_init_std, str):
        return one_of("weight_init_std", weight_init_std.lower(), VARIANCES)
    return real_in("weight_init_std", weight_init_std, 0)
