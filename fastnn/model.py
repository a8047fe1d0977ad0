"""The model: an ordered list of layers over one flat buffer of parameters."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn import lowering, model_files, transfer
from fastnn.backend import Backend, get_backend
from fastnn.checks import (
    UINT8_SCALE,
    Rng,
    as_real,
    generator,
    name_among,
    positive_int,
    real_dtype,
    real_rows,
    sequence,
    source_rows,
)
from fastnn.data.preprocess import Pipeline, Preprocessor
from fastnn.layers import Layer, Softmax, chain
from fastnn.parameters import Parameters
from fastnn.summary import Summary, summarize
from fastnn.threads import SMALL_STEP, limited, thread_count

# Rows that pass through the layers together in inference: their activations stay in cache.
CHUNK = 1024


class Sequential(Parameters):
    """Layers, one after another.

    Parameters
    ----------
    layers : sequence of Layer
        A layer belongs to one model, in one place.
    input_shape : int or tuple of int
        Features of a sample; for images their shape, (channels, height, width).
    rng : int or numpy.random.Generator, optional
        Seeds the initial weights and the dropout masks; None draws fresh entropy.
    dtype : {"float32", "float64"}
    backend : {"cython", "numba", "numpy"}, optional
        Which kernels; None takes `use_backend`, ``FASTNN_BACKEND``, or the first that is there.

    Attributes
    ----------
    params, grads, state : dict
        Name to array view: "affine1.w", "batchnorm1.gamma"; state holds "batchnorm1.running_mean".
    step : int
        Training steps done; dropout masks depend on it.
    seed : int
        What the dropout masks are drawn from.
    preprocessing : Preprocessor, Pipeline or None
        What samples went through before they were trained on: it is saved and loaded with the
        model, so that who uses it can do the same, ``model.predict(model.preprocessing.
        transform(x))``. The model itself never applies it: `predict` and `forward` take the same
        rows as `Trainer.fit`.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.

    Examples
    --------
    >>> import fastnn as fnn
    >>> layers = [fnn.Affine(100), fnn.ReLU(), fnn.Affine(10)]
    >>> model = fnn.Sequential(layers, input_shape=784, rng=0)
    >>> model.params["affine1.w"].shape
    (784, 100)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: int | Sequence[int],
        rng: Rng = None,
        dtype: Any = "float32",
        backend: str | None = None,
    ) -> None:
        row: list[Layer] = sequence("layers", layers, "layers, such as Affine(100)")
        self.dtype = real_dtype(dtype)
        self.backend: Backend = get_backend(backend)
        self.input_shape = chain.as_shape(input_shape)
        self.step = 0
        self._preprocessing: Preprocessor | Pipeline | None = None
        self._output_activation = "softmax"
        self._program: Any = None
        chain.check_unbound(row)
        names = chain.names(row)
        widths = chain.lay_out(row, self.input_shape)
        super().__init__(row, names, widths, self.dtype)
        self.output_size = widths[-1]

        draws = generator(rng)
        self.seed = int(draws.integers(2**63))
        with np.errstate(over="ignore"):  # named below
            for index, (layer, name) in enumerate(zip(self.layers, names, strict=True)):
                layer.bind(
                    name,
                    index,
                    widths[index],
                    self.backend.kernels,
                    self.dtype,
                    self.seed,
                    _under(name, self.params),
                    _under(name, self.grads),
                    _under(name, self.state),
                )
                layer.followed_by = chain.activation_after(self.layers[index + 1 :])
                layer.initialize(draws)
        if not np.isfinite(self.flat_params).all():
            odd = next(name for name, v in self.params.items() if not np.isfinite(v).all())
            raise ValueError(
                f"layers must start from numbers that {self.dtype} can hold; those of {odd} are "
                "not finite"
            )

    @property
    def preprocessing(self) -> Preprocessor | Pipeline | None:
        """What samples went through before; never applied by the model itself."""
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, what: Preprocessor | Pipeline | None) -> None:
        if what is not None and not isinstance(what, (Preprocessor, Pipeline)):
            raise TypeError(
                f"preprocessing must be a preprocessor, as Standardize(), or None; got {what!r}"
            )
        self._preprocessing = what

    @property
    def output_activation(self) -> str:
        """What `predict_proba` makes probabilities with: "softmax", or "sigmoid".

        Training sets it: binary cross-entropy takes outputs that are a yes or no each.
        """
        return self._output_activation

    @output_activation.setter
    def output_activation(self, name: str) -> None:
        self._output_activation = name_among("output_activation", name, ("softmax", "sigmoid"))

    # -- transfer learning -------------------------------------------------------------------------

    def replace_head(
        self,
        head: int | Sequence[Layer],
        since: int | str | Layer | None = None,
        rng: Rng = None,
    ) -> "Sequential":
        """A new model: copies of this one's layers, and a new head in place of the last ones.

        The body brings its weights, its running averages, and what is frozen. Nothing is shared:
        training the new model leaves this one as it is.

        Parameters
        ----------
        head : int or sequence of Layer
            Outputs of a new ``Affine`` layer, or the new layers.
        since : int, str or Layer, optional
            The first layer to leave out, as in `freeze`; by default the last Affine.
        rng : int or numpy.random.Generator, optional
            Draws the head's weights, and seeds the masks of the new model.

        Returns
        -------
        Sequential
            Of the same dtype and backend, at step 0.

        Raises
        ------
        TypeError, ValueError
            No such layer, none before it, or a head that cannot be.
        """
        layers = transfer.with_head(self.layers, head, since)
        return Sequential.from_layers(layers, self.input_shape, rng, self.dtype, self.backend.name)

    @classmethod
    def from_layers(
        cls,
        layers: Sequence[Layer],
        input_shape: int | Sequence[int],
        rng: Rng = None,
        dtype: Any = "float32",
        backend: str | None = None,
    ) -> "Sequential":
        """A new model of copies of layers that stand in models already, and of new layers.

        Copies bring along their weights and state, ``trainable`` and ``lr_scale``.

        Parameters
        ----------
        layers : sequence of Layer
            In their new order; a layer of a model is copied, any other is taken as it is.
        input_shape, rng, dtype, backend
            As in `Sequential`.

        Raises
        ------
        TypeError, ValueError
            As `Sequential`; or a layer would get another number of features than it has weights
            for.
        """
        sources = sequence("layers", layers, "layers, such as Affine(100)")
        copies = [transfer.unbound(layer) for layer in sources]
        model = cls(copies, input_shape, rng, dtype, backend)
        transfer.carry_over(sources, copies)
        return model

    # -- running -----------------------------------------------------------------------------------

    def forward(self, x: Any, train: bool = False, step: int | None = None) -> np.ndarray:
        """Outputs of the last layer.

        Parameters
        ----------
        x : array_like, (N, features) or (N, *input_shape)
        train : bool
            Training mode: BatchNorm uses, and moves, its statistics; dropout drops.
        step : int, optional
            Which dropout masks; by default those of the next training step.

        Returns
        -------
        ndarray, (N, n_out)
            A new array.

        Raises
        ------
        TypeError, ValueError
            x is not made of real numbers, has no rows, or rows of another shape; step is no count.
        """
        rows = real_rows("x", x, self.input_shape, self.dtype)
        step = None if step is None else positive_int("step", step, least=0)
        return self.forward_rows(rows, train, step).copy()

    def forward_rows(
        self, x: np.ndarray, train: bool = False, step: int | None = None
    ) -> np.ndarray:
        """`forward` of checked rows x; returns the last layer's buffer, valid until the next call.

        ``train`` and ``step`` are those of `forward`.
        """
        step = self.step if step is None else step
        return self._pass(self.layers, x, train, step)

    def _pass(self, layers: Sequence[Layer], x: np.ndarray, train: bool, step: int) -> np.ndarray:
        rows = len(x)
        for layer in layers:
            x = layer.forward(x, train=train, step=step)
            if not layer.is_known:
                layer.check_returned("forward", x, rows, layer.n_out)
        return x

    def backward_rows(self, dout: np.ndarray) -> None:
        """Write all gradients, from that of the last `forward_rows`'s output."""
        gradient: np.ndarray | None = dout
        first = self.first_trained()
        for layer in reversed(self.layers[first:]):
            if gradient is not None:
                further = layer.index > first
                gradient = layer.backward(gradient, input_gradient=further)
                if further and not layer.is_known:
                    layer.check_returned("backward", gradient, len(dout), layer.n_in)
        for layer in self.layers[first:]:
            layer.add_shared_gradients()

    def predict(self, x: Any) -> np.ndarray:
        """Outputs of the last layer in inference mode, for any number of rows.

        For a classifier these are scores (logits): ``model.predict(x).argmax(axis=1)`` are the
        classes, `predict_proba` the probabilities.

        Parameters
        ----------
        x : array_like, (N, features) or (N, *input_shape)

        Returns
        -------
        ndarray, (N, n_out)

        Raises
        ------
        TypeError, ValueError
            As `forward`.
        """
        rows = source_rows("x", x, self.input_shape, self.dtype)
        return self.predict_rows(rows)

    def predict_rows(self, rows: np.ndarray, threads: int | None = None) -> np.ndarray:
        """`predict` of rows as ``fastnn.checks.source_rows`` returns them.

        Runs the native program where every layer has a native form.
        """
        out = np.empty((len(rows), self.output_size), self.dtype)
        if self._program is None and lowering.obstacle(self) is None:
            self._program = lowering.inference_program(self)
        if self._program is None:
            self._run(self.layers, rows, out)
        elif len(rows) < CHUNK:
            self._program.predict(rows, out, 1, UINT8_SCALE)
        else:
            threads = thread_count(threads, SMALL_STEP)
            with limited(self.backend.kernels):
                self._program.predict(rows, out, threads, UINT8_SCALE)
        return out

    def activations(
        self,
        x: Any,
        until: int | str | Layer | None = None,
        since: int | str | Layer | None = None,
    ) -> np.ndarray:
        """Outputs of a layer in inference mode: the features that a trained body finds in x.

        Parameters
        ----------
        x : array_like, (N, features) or (N, *input_shape)
            What the layer ``since`` takes.
        until : int, str or Layer, optional
            Whose outputs, as in `freeze`; by default the last layer's.
        since : int, str or Layer, optional
            Where x comes in; by default the first layer.

        Returns
        -------
        ndarray, (N, n_out of that layer)

        Raises
        ------
        TypeError, ValueError
            As `forward`, and for layers as `unfreeze`.
        """
        layers = chain.between(self.layers, since, until)
        shape = self.input_shape if layers[0].index == 0 else (layers[0].n_in,)
        rows = source_rows("x", x, shape, self.dtype)
        out = np.empty((len(rows), layers[-1].n_out), self.dtype)
        self._run(layers, rows, out)
        return out

    def _run(self, layers: Sequence[Layer], rows: np.ndarray, out: np.ndarray) -> None:
        """Pass rows through layers in inference mode, chunk by chunk."""
        for start in range(0, len(rows), CHUNK):
            chunk = as_real(rows[start : start + CHUNK], self.dtype)
            out[start : start + CHUNK] = self._pass(layers, chunk, False, self.step)

    def predict_proba(self, x: Any) -> np.ndarray:
        """Probabilities, (N, n_out): those of classes, each row with the sum 1, or each on its own.

        The first is the softmax of `predict`, or `predict` itself where the last layer is a
        `Softmax`; the second, of a model that was trained with binary cross-entropy, its sigmoid.

        Parameters
        ----------
        x : array_like, (N, features) or (N, *input_shape)

        Returns
        -------
        ndarray, (N, n_out)

        Raises
        ------
        TypeError, ValueError
            As `forward`; or the model has a single output, which a softmax would turn into 1.
        """
        self.check_probabilities()
        return self.probabilities(self.predict(x))

    def check_probabilities(self) -> None:
        """Refuse to make probabilities of a single output by softmax.

        Raises
        ------
        ValueError
            That would be 1.
        """
        if self.output_size == 1 and self.output_activation == "softmax":
            raise ValueError(
                "probabilities of classes need a model with an output for each class; this one "
                "has a single output: if that is the score of a yes, set "
                "model.output_activation = 'sigmoid', as training with binary cross-entropy does"
            )

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """What `predict_proba` makes of outputs (N, n_out)."""
        if isinstance(self.layers[-1], Softmax):
            return scores
        out = np.empty_like(scores)
        if self.output_activation == "sigmoid":
            self.backend.kernels.sigmoid_forward(scores.reshape(-1), out.reshape(-1))
        else:
            self.backend.kernels.softmax_forward(scores, out)
        return out

    # -- description and files ---------------------------------------------------------------------

    def summary(self) -> Summary:
        """A table of layers: output shapes, memory, parameters, and how they are trained.

        Memory is that of parameters and state, what a model's file holds; training takes as much
        again for gradients, and what the optimizer keeps.
        """
        return summarize(self)

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"Sequential([{layers}], input_shape={self.input_shape}, dtype={self.dtype.name!r})"

    def config(self) -> dict[str, Any]:
        """The architecture, and how it is trained, as JSON-able data."""
        return model_files.describe(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one safetensors file; see `fastnn.load`.

        The file is replaced at once or not at all.

        Parameters
        ----------
        path : path-like
            The file; any name will do.

        Raises
        ------
        ValueError
            A layer's kind is not fastnn's own: a file could not bring its code along; or the
            preprocessing has not been fitted.
        OSError
            The file cannot be written; an older one is left as it was.
        """
        model_files.write(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], backend: str | None = None) -> "Sequential":
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : path-like
        backend : {"cython", "numba", "numpy"}, optional
            As in `Sequential`.

        Returns
        -------
        Sequential
            Of the dtype it was saved in.

        Raises
        ------
        CorruptFileError
            The file is damaged, was changed, or is not a fastnn model. Nothing in it is executed.
        OSError
            The file cannot be read.
        """
        return model_files.read(cls, path, backend)

    def astype(self, dtype: Any) -> "Sequential":
        """A copy that computes in another type.

        Parameters
        ----------
        dtype : {"float32", "float64"}

        Returns
        -------
        Sequential

        Raises
        ------
        ValueError
            Another dtype.
        """
        rebuild, (settings, config, *rest), state = self.__reduce__()
        model = rebuild(settings, config | {"dtype": real_dtype(dtype).name}, *rest)
        model.__setstate__(state)
        return model

    def __reduce__(self) -> tuple[Any, ...]:
        settings = [(type(layer), layer.settings()) for layer in self.layers]
        state = {"preprocessing": self.preprocessing}
        return _rebuild, (settings, self.config(), self.backend.name, self.snapshot()), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.preprocessing = state["preprocessing"]


def check_model(model: Any) -> Sequential:
    """The model, if it is one.

    Raises
    ------
    TypeError
        It is not.
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a Sequential; got {type(model).__name__}")
    return model


def _under(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of one layer, by their own names."""
    prefix = f"{name}."
    return {key[len(prefix) :]: a for key, a in arrays.items() if key.startswith(prefix)}


def _rebuild(
    settings: list[tuple[type[Layer], dict[str, Any]]],
    config: dict[str, Any],
    backend: str,
    snapshot: dict[str, np.ndarray],
) -> Sequential:
    """Undo `Sequential.__reduce__`: for copies, and for worker processes."""
    model = Sequential(
        [cls.from_settings(values) for cls, values in settings],
        config["input_shape"],
        0,
        config["dtype"],
        backend,
    )
    model_files.adopt(model, config)
    model.restore(snapshot)
    return model
