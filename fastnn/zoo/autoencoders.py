"""Autoencoders: networks that learn to give back what they take, through a narrow code."""

import math
import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from fastnn.checks import Rng, generator, one_of, positive_int, real_rows, sequence, source_rows
from fastnn.components import check_optional
from fastnn.history import History
from fastnn.initializers import Initializer
from fastnn.layers import ACTIVATIONS, Affine, Layer, Sigmoid, TiedAffine
from fastnn.losses import BinaryCrossEntropy, Loss
from fastnn.model import Sequential, check_model
from fastnn.trainer import Trainer


class Autoencoder:
    """An encoder from features to a code, and a decoder back; trained to give back its input.

    Encoder: for each size in ``code`` an affine layer and an activation. Decoder: its mirror image,
    whose last activation is ``output``.

    Parameters
    ----------
    n_in : int or tuple of int
        Features of a sample, or the shape of an image.
    code : int or sequence of int
        Size of the code; of several sizes the last is the code's, the others those on the way.
    activation : str or None
        Name of the activation after each affine layer, "relu" or "sigmoid"; None for a linear
        autoencoder, whose best code spans the first principal components.
    output : str or None
        Name of the activation of the reconstruction: "sigmoid" for features in [0, 1]; None for
        none.
    tied : bool
        Decode with the encoder's weights, transposed (`TiedAffine`): half the parameters.
    noise : Layer, optional
        What corrupts the input in training, and not in inference; the target stays clean. See
        `DenoisingAutoencoder`.
    init : str, float or Initializer
        As in `Affine`, for all layers.
    loss : str or Loss
        Between reconstruction and input. "binary_cross_entropy" takes scores: ``output`` stays
        None, and the sigmoid of a reconstruction is the image.
    rng : int or numpy.random.Generator, optional
        Draws weights, noise and the order of the rows.
    dtype, backend
        As in `Sequential`.
    **training
        Further settings of the `Trainer`: ``optimizer``, ``batch_size``, ``verbose`` and so on.

    Attributes
    ----------
    model : Sequential
        Encoder and decoder, with the noise before them.
    encoder, decoder : list of Layer
        The layers of the model that encode, and those that decode.
    trainer : Trainer
        Of the whole model; ``trainer.engine`` says how it runs.
    code_size : int

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; the message names it.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), _ = fnn.data.load_digits()
    >>> autoencoder = fnn.Autoencoder(64, 16, output="sigmoid", rng=0, verbose=False)
    >>> history = autoencoder.fit(x, epochs=5)
    >>> autoencoder.encode(x[:3]).shape, autoencoder.reconstruct(x[:3]).shape
    ((3, 16), (3, 64))
    >>> classifier = autoencoder.to_classifier(10, rng=0)  # to be fine-tuned by a Trainer

    Notes
    -----
    Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks" (2006),
    https://doi.org/10.1126/science.1127647. Linear ones: Baldi and Hornik (1989),
    https://doi.org/10.1016/0893-6080(89)90014-2.
    """

    def __init__(
        self,
        n_in: int | Sequence[int],
        code: int | Sequence[int],
        activation: str | None = "relu",
        output: str | None = None,
        tied: bool = False,
        noise: Layer | None = None,
        init: str | float | Initializer = "xavier",
        loss: str | Loss = "mean_squared_error",
        rng: Rng = None,
        dtype: Any = "float32",
        backend: str | None = None,
        **training: Any,
    ) -> None:
        check_optional("noise", noise, Layer, "MaskingNoise(0.25)")
        layers = [] if noise is None else [noise]
        sizes = _sizes(code)
        for size in sizes:
            layers += [Affine(size, init), *_activation("activation", activation)]
        for size in sizes[-2::-1]:
            layers += [_decoding(size, tied, init), *_activation("activation", activation)]
        layers += [_decoding(_features(n_in), tied, init), *_activation("output", output)]
        draws = generator(rng)
        self._adopt(Sequential(layers, n_in, draws, dtype, backend), loss, draws, training)
        if output == "sigmoid" and isinstance(self.trainer.loss, BinaryCrossEntropy):
            raise ValueError(
                "output must be None with loss='binary_cross_entropy', which takes scores, whose "
                "sigmoid is the image; got 'sigmoid'"
            )

    @classmethod
    def from_model(
        cls,
        model: Sequential,
        loss: str | Loss = "mean_squared_error",
        rng: Rng = None,
        **training: Any,
    ) -> Self:
        """An autoencoder around a model: of one's own making, or from a file.

        Parameters
        ----------
        model : Sequential
            As many affine layers to the code as from it, each of these TiedAffine or not; what
            stands between them, BatchNorm for example, belongs to the affine layer before, and what
            stands before the first is noise.
        loss, rng, training
            As in `Autoencoder`.

        Raises
        ------
        TypeError, ValueError
            The model is no such chain, or its output has not the size of its input.
        """
        autoencoder = cls.__new__(cls)
        autoencoder._adopt(check_model(model), loss, rng, training)
        return autoencoder

    def _adopt(
        self, model: Sequential, loss: str | Loss, rng: Rng, training: dict[str, Any]
    ) -> None:
        starts = [layer.index for layer in model.layers if isinstance(layer, (Affine, TiedAffine))]
        features = model.layers[0].n_in
        if not starts or len(starts) % 2 or model.output_size != features:
            raise ValueError(
                "model must have as many affine layers to the code as from it, and as many "
                f"outputs as its {features} features; got {len(starts)} affine layers and "
                f"{model.output_size} outputs"
            )
        self.model = model
        self.rng = generator(rng)
        self._training = {"loss": loss} | training
        self.trainer = Trainer(model, rng=self.rng, **self._training)
        if self.trainer.loss.classifies:
            raise ValueError(f"loss must compare numbers with numbers; got {loss!r}")
        ends = [*starts[1:], len(model.layers)]
        # An affine layer, and what follows up to the next.
        self._blocks = [list(model.layers[i:j]) for i, j in zip(starts, ends, strict=True)]
        half = len(starts) // 2
        self.noise = list(model.layers[: starts[0]])
        self.encoder = list(model.layers[starts[0] : starts[half]])
        self.decoder = list(model.layers[starts[half] :])
        self.code_size = self.encoder[-1].n_out

    def fit(
        self,
        x: Any,
        epochs: int = 20,
        validation_data: Any = None,
        validation_share: float = 0.0,
    ) -> History:
        """Train encoder and decoder together; a further call goes on from there.

        Parameters
        ----------
        x : array_like, (N, features) or (N, *input_shape)
            As `Trainer.fit` takes it.
        epochs : int
        validation_data : array_like, optional
            Further rows of the same kind.
        validation_share : float
            As in `Trainer.fit`.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError, DivergenceError, KeyboardInterrupt
            As `Trainer.fit`.
        """
        held = None
        if validation_data is not None:
            held = (validation_data, self._targets("validation_data", validation_data))
        return self.trainer.fit(x, self._targets("x", x), epochs, held, validation_share)

    def encode(self, x: Any) -> np.ndarray:
        """Codes (N, code_size) of the rows of x."""
        return self.model.activations(x, until=self.encoder[-1])

    def decode(self, codes: Any) -> np.ndarray:
        """Reconstructions (N, features) from codes (N, code_size)."""
        rows = source_rows("codes", codes, (self.code_size,), self.model.dtype)
        return self.model.activations(rows, since=self.decoder[0])

    def reconstruct(self, x: Any) -> np.ndarray:
        """What is left of x on the way through the code: (N, features)."""
        return self.model.predict(x)

    def corrupt(self, x: Any, step: int = 0) -> np.ndarray:
        """What the noise of a training step makes of x: (N, features); without noise, a copy."""
        rows, step = self._targets("x", x), positive_int("step", step, least=0)
        for layer in self.noise:
            rows = layer.forward(rows, train=True, step=step)
        return rows.copy()

    def to_classifier(self, n_classes: int, rng: Rng = None) -> Sequential:
        """The trained encoder with an affine layer on top, to be fine-tuned by a `Trainer`.

        A new model of copies, without the noise; its outputs are the scores that the loss
        "softmax_cross_entropy" takes. Train everything, or ``freeze`` the encoder before.

        Parameters
        ----------
        n_classes : int
        rng : int or numpy.random.Generator, optional
            Draws the weights of the new layer.
        """
        head = Affine(positive_int("n_classes", n_classes), init="xavier")
        return self._copy([*self.encoder, head], self.model.input_shape, rng)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `model` to a file, see `Sequential.save`; `load` reads it again."""
        self.model.save(path)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], backend: str | None = None, **settings: Any
    ) -> Self:
        """Read an autoencoder that `save` wrote; settings as in `from_model`.

        Raises
        ------
        CorruptFileError, OSError
            As `Sequential.load`.
        ValueError
            The model in the file is no autoencoder.
        """
        return cls.from_model(Sequential.load(path, backend), **settings)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.from_model({self.model!r})"

    def _copy(
        self, layers: Sequence[Layer], input_shape: int | Sequence[int], rng: Rng
    ) -> Sequential:
        model = self.model
        return Sequential.from_layers(layers, input_shape, rng, model.dtype, model.backend.name)

    def _targets(self, name: str, x: Any) -> np.ndarray:
        rows = real_rows(name, x, self.model.input_shape, self.model.dtype)
        if not np.isfinite(rows).all():
            raise ValueError(f"{name} must be finite: an autoencoder is to give it back")
        return rows


class DenoisingAutoencoder(Autoencoder):
    """An autoencoder that sees a corrupted input and is to give back the clean one.

    It cannot learn to copy, and finds out how features go together instead.

    Parameters
    ----------
    n_in, code
        As in `Autoencoder`; here the code may well be larger than the input.
    noise : Layer
        What corrupts the input in training: ``GaussianNoise(std)``, ``MaskingNoise(ratio)``,
        ``Dropout(ratio)``.
    **settings
        The others of `Autoencoder`.

    Raises
    ------
    TypeError, ValueError
        As `Autoencoder`; or no noise.

    Notes
    -----
    Vincent et al., "Extracting and composing robust features with denoising autoencoders" (2008),
    https://doi.org/10.1145/1390156.1390294.
    """

    def __init__(
        self,
        n_in: int | Sequence[int],
        code: int | Sequence[int],
        noise: Layer,
        **settings: Any,
    ) -> None:
        if noise is None:
            raise TypeError("noise must be a Layer, such as MaskingNoise(0.25); got None")
        super().__init__(n_in, code, noise=noise, **settings)


class StackedAutoencoder(Autoencoder):
    """A deep autoencoder that is trained layer by layer, each on the codes of those below.

    Every size in ``code`` becomes an autoencoder with that one code. The first learns to
    reconstruct the input, the next one the codes of the first, and so on; put together they are the
    deep autoencoder. With ``noise``, each corrupts its own input: stacked denoising autoencoders.

    `fit` trains so; `fine_tune` trains the whole afterwards; `to_classifier` stacks the encoders
    for labels. Parameters, attributes and errors are those of `Autoencoder`.

    Attributes
    ----------
    histories : list of History
        Of each layer's training, from the last call of `fit`.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), _ = fnn.data.load_digits()
    >>> stacked = fnn.StackedAutoencoder(64, [40, 20], activation="sigmoid", rng=0, verbose=False)
    >>> history = stacked.fit(x, epochs=3)
    >>> history["layer"]
    [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    >>> classifier = stacked.to_classifier(10, rng=0)
    >>> trainer = fnn.Trainer(classifier, rng=0, verbose=False)
    >>> fine_tuning = trainer.fit(x[:100], y[:100], epochs=3)

    Notes
    -----
    Bengio et al., "Greedy layer-wise training of deep networks" (2006); Vincent et al., "Stacked
    denoising autoencoders" (2010), https://www.jmlr.org/papers/v11/vincent10a.html.
    """

    histories: list[History]

    def fit(
        self,
        x: Any,
        epochs: int = 20,
        validation_data: Any = None,
        validation_share: float = 0.0,
    ) -> History:
        """Train layer by layer, from the bottom up, each from the weights that it has.

        Parameters
        ----------
        x, validation_data, validation_share
            As in `Autoencoder.fit`.
        epochs : int
            For each layer.

        Returns
        -------
        History
            The epochs of all layers, one after another; "layer" counts from 1. A layer's loss is
            about the codes below it, and not to be compared with another's.

        Raises
        ------
        TypeError, ValueError, DivergenceError, KeyboardInterrupt
            As `Trainer.fit`.
        """
        codes = self._targets("x", x)
        held = validation_data
        self.histories = []
        together = History()
        for depth in range(len(self._blocks) // 2):
            stage = self.stage(depth)
            try:
                history = stage.fit(codes, epochs, held, validation_share)
            finally:
                self._take_back(depth, stage)  # also what was learned before Ctrl-C
            self.histories.append(history)
            for epoch in history.epochs:
                logs = {name: column[epoch] for name, column in history.items()}
                together.append({"layer": depth + 1} | logs)
            codes = stage.encode(codes)
            held = None if held is None else stage.encode(held)
        return together

    def fine_tune(
        self,
        x: Any,
        epochs: int = 20,
        validation_data: Any = None,
        validation_share: float = 0.0,
    ) -> History:
        """Train all layers together.

        Parameters
        ----------
        x, epochs, validation_data, validation_share
            As in `Autoencoder.fit`.

        Returns
        -------
        History
        """
        return super().fit(x, epochs, validation_data, validation_share)

    def stage(self, depth: int) -> Autoencoder:
        """The autoencoder of one layer, a copy: from the codes below to its own and back.

        Parameters
        ----------
        depth : int
            0 for the first layer.
        """
        count = len(self._blocks) // 2
        if not 0 <= depth < count:
            raise ValueError(f"depth must be in 0..{count - 1}; got {depth}")
        encoder, decoder = self._pair(depth)
        shape = encoder[0].n_in if depth else self.model.input_shape
        model = self._copy([*self.noise, *encoder, *decoder], shape, self.rng)
        return Autoencoder.from_model(model, rng=self.rng, **self._training)

    def _pair(self, depth: int) -> tuple[list[Layer], list[Layer]]:
        """The layers that encode at a depth, and their mirror image; as a stage trains them."""
        encoder, decoder = self._blocks[depth], self._blocks[-1 - depth]
        if isinstance(self.trainer.loss, BinaryCrossEntropy) and isinstance(decoder[-1], Sigmoid):
            decoder = decoder[:-1]  # the loss takes the sigmoid itself
        return encoder, decoder

    def _take_back(self, depth: int, stage: Autoencoder) -> None:
        """Put what a stage has learned into its place in the model."""
        encoder, decoder = self._pair(depth)
        for own, learned in zip(
            [*encoder, *decoder], [*stage.encoder, *stage.decoder], strict=True
        ):
            for key in own.param_names + own.state_names:
                getattr(own, key)[...] = getattr(learned, key)


def _sizes(code: int | Sequence[int]) -> list[int]:
    sizes = [code] if not isinstance(code, Sequence) else sequence("code", code, "sizes")
    if not sizes:
        raise ValueError("code must be a size, or at least one; got none")
    return [positive_int("code", size) for size in sizes]


def _features(n_in: int | Sequence[int]) -> int:
    axes = n_in if isinstance(n_in, Sequence) else [n_in]
    return math.prod(positive_int("n_in", axis) for axis in axes)


def _activation(argument: str, name: str | None) -> list[Layer]:
    return [] if name is None else [one_of(argument, name, ACTIVATIONS)()]


def _decoding(width: int, tied: bool, init: str | float | Initializer) -> Layer:
    return TiedAffine() if tied else Affine(width, init)
