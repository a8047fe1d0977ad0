"""Monitors: callbacks that look into a network while it trains, and change nothing.

They measure before the first epoch and after every k-th, on a fixed probe batch, with the layers'
own forward pass and the trainer's own step, and take back what these do (`Trainer.restored`). They
do not watch batches, so that the native engine runs on at full speed between epochs.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn as fnn
from fastnn.checks import as_real, positive_int, source_rows
from fastnn.lab.plots import weight_images
from fastnn.layers import Affine, BatchNorm, Dropout, Layer
from fastnn.pictures import log_scale, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# A sigmoid or tanh unit is saturated where its derivative is below this share of the largest.
SATURATED = 0.05

# Where the length of a step should be, relative to that of the weights; CS231n, "Neural Networks
# Part 3", section "Ratio of weights:updates".
HEALTHY = 1e-3


class Monitor(fnn.Callback):
    """Base of the monitors: when to measure.

    Parameters
    ----------
    every : int
        Measure after every so many epochs; also before the first and after the last.

    Attributes
    ----------
    epochs : list of int
        Epochs done at each measurement: 0 is before training.

    Raises
    ------
    TypeError, ValueError
        ``every`` is not an integer of at least 1.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = positive_int("every", every)
        self.epochs: list[int] = []

    def on_train_begin(self, trainer: "fnn.Trainer") -> None:
        self._measure_at(trainer)

    def on_epoch_end(self, trainer: "fnn.Trainer", epoch: int, logs: dict[str, float]) -> None:
        last = trainer.epoch == trainer.epochs or trainer.stop_training
        if last or trainer.epoch % self.every == 0:
            self._measure_at(trainer)

    def _measure_at(self, trainer: "fnn.Trainer") -> None:
        if self.epochs[-1:] == [trainer.epoch]:  # a further fit goes on where the last one ended
            return
        with trainer.restored():
            self.measure(trainer)
        self.epochs.append(trainer.epoch)

    def measure(self, trainer: "fnn.Trainer") -> None:
        """Record one measurement; what it does to model and optimizer is taken back."""
        raise NotImplementedError  # abstract: every subclass has its own

    def _check_measured(self) -> None:
        if not self.epochs:
            raise ValueError(
                f"{type(self).__name__} has measured nothing: pass it to Trainer(callbacks=...) "
                "and call fit"
            )


class ActivationMonitor(Monitor):
    """What comes out of each activation: distribution, dead ReLUs, saturated units.

    The forward pass is that of training: batch statistics, dropped units; so it shows what the next
    step will see.

    Parameters
    ----------
    x : array_like, (N, features)
        The probe batch: a few hundred rows, of all classes.
    every : int
        As in `Monitor`.
    bins : int
        Of each histogram.

    Attributes
    ----------
    epochs : list of int
        As in `Monitor`.
    mean, std : dict of str to list of float
        Layer to mean and standard deviation of its outputs, one for each of `epochs`.
    dead : dict of str to list of float
        For ReLU layers: share of units whose output is 0 for every row of the probe. No gradient
        reaches their weights from these rows.
    saturated : dict of str to list of float
        For sigmoid and tanh layers: share of outputs at which the derivative is below 5 % of its
        largest value.
    histograms : dict of str to list of (counts, edges)
        As `numpy.histogram` returns them.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; when a fit begins, x does not fit the model.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), _ = fnn.data.load_digits()
    >>> monitor = fnn.lab.ActivationMonitor(x[:200])
    >>> model = fnn.mlp(64, [50, 50], 10, rng=0)
    >>> trainer = fnn.Trainer(model, callbacks=[monitor], rng=0, verbose=False)
    >>> history = trainer.fit(x, y, epochs=2)
    >>> monitor.epochs, list(monitor.dead)
    ([0, 1, 2], ['relu1', 'relu2'])
    """

    def __init__(self, x: Any, every: int = 1, bins: int = 60) -> None:
        super().__init__(every)
        self.x = x
        self.bins = positive_int("bins", bins)
        self.mean: dict[str, list[float]] = {}
        self.std: dict[str, list[float]] = {}
        self.dead: dict[str, list[float]] = {}
        self.saturated: dict[str, list[float]] = {}
        self.histograms: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}

    def measure(self, trainer: "fnn.Trainer") -> None:
        model = trainer.model
        out = as_real(source_rows("x", self.x, model.input_shape, model.dtype), model.dtype)
        for layer in model.layers:
            out = layer.forward(out, train=True, step=model.step)
            if not isinstance(layer, (Affine, BatchNorm, Dropout)):
                self._record(layer, out)

    def _record(self, layer: Layer, out: np.ndarray) -> None:
        def add(table: dict[str, list[Any]], value: Any) -> None:
            table.setdefault(layer.name, []).append(value)

        finite = out[np.isfinite(out)]
        add(self.mean, float(out.mean(dtype=np.float64)))
        add(self.std, float(out.std(dtype=np.float64)))
        add(self.histograms, np.histogram(finite, self.bins))
        if layer.kind == "relu":
            add(self.dead, float((out == 0).all(axis=0).mean()))
        elif layer.kind in ("sigmoid", "tanh"):
            # Both are the same curve, tanh(x) = 2 sigmoid(2 x) - 1, and so are their derivatives
            # relative to the largest: 1 - t^2.
            t = out if layer.kind == "tanh" else 2 * out - 1
            add(self.saturated, float((1 - t * t < SATURATED).mean()))

    def plot(self, title: str = "") -> "Figure":
        """Histograms before and after training; mean, spread, and lost units by epoch.

        Parameters
        ----------
        title : str

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            Nothing was measured, or the model has no activation.
        ImportError
            matplotlib is not installed; the message names the extra.
        """
        self._check_measured()
        names = list(self.mean)
        if not names:
            raise ValueError("the model has no activation layer to plot")
        figure = new_figure(max(9.0, 2.1 * len(names)), 6.2, title)
        halves: Any = figure.subfigures(2, 1, height_ratios=[1, 1.15])
        above, below = halves
        self._plot_histograms(above, names)
        panels: list[tuple[str, dict[str, list[float]]]] = [
            ("mean of outputs", self.mean),
            ("standard deviation", self.std),
        ]
        panels += [("dead units, %", self.dead)] if self.dead else []
        panels += [("saturated outputs, %", self.saturated)] if self.saturated else []
        rows = below.subplots(1, len(panels), squeeze=False)[0]
        for axes, (label, table) in zip(rows, panels, strict=True):
            share = label.endswith("%")
            scaled = {n: [100 * v if share else v for v in table[n]] for n in table}
            _by_epoch(axes, self.epochs, scaled, names)
            axes.set_ylabel(label)
            if share:
                axes.set_ylim(-2, 102)
        _depth_legend(below, rows[0], names)
        return figure

    def _plot_histograms(self, figure: "SubFigure", names: list[str]) -> None:
        measured = dict.fromkeys([0, len(self.epochs) - 1])
        shades = {0: "0.65", len(self.epochs) - 1: None}
        for axes, name, colour in zip(
            figure.subplots(1, len(names), squeeze=False)[0], names, _depths(names), strict=True
        ):
            for index in measured:
                counts, edges = self.histograms[name][index]
                shown = shades[index] or colour
                share = counts / max(counts.sum(), 1)
                axes.stairs(share, edges, fill=index == 0, alpha=0.6 if index == 0 else 1.0,
                            color=shown, linewidth=1.6)  # fmt: skip
            tidy(axes)
            axes.set_title(name, fontsize="small", color=colour)
            axes.set_yscale("symlog", linthresh=1e-3)
            axes.set_ylim(0, 1.2)
            axes.tick_params(labelsize="small")
            axes.tick_params(axis="y", which="both", left=False, labelleft=False)
        last = f", after epoch {self.epochs[-1]} (line)" if len(measured) > 1 else ""
        first = "before training" if self.epochs[0] == 0 else f"after epoch {self.epochs[0]}"
        figure.supxlabel(f"outputs {first} (grey){last}; heights are logarithmic", fontsize="small")


class GradientMonitor(Monitor):
    """Length of each parameter's gradient, and of its next step relative to itself.

    The step is one that training would take next on the probe batch, with the optimizer, its
    running averages and the current learning rate; it is taken, measured and taken back. So the
    ratio is that of a single step, not an average over the epoch, in which steps partly cancel. It
    depends on the batch size as training does: give about as many rows as a batch has.

    Parameters
    ----------
    x, y : array_like
        The probe batch, as in `Trainer.fit`.
    every : int
        As in `Monitor`.

    Attributes
    ----------
    epochs : list of int
        As in `Monitor`.
    gradient_norm : dict of str to list of float
        Parameter to the Euclidean norm of its gradient, with the penalty's, one for each of
        `epochs`.
    update_ratio : dict of str to list of float
        Parameter to ``||step|| / ||parameter||``; about 1e-3 is healthy for weights. NaN where the
        parameter is all zero, as biases are at first, or the step would diverge.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; when a fit begins, x or y does not fit the model.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), _ = fnn.data.load_digits()
    >>> monitor = fnn.lab.GradientMonitor(x[:100], y[:100])
    >>> model = fnn.mlp(64, [50], 10, rng=0)
    >>> trainer = fnn.Trainer(model, callbacks=[monitor], rng=0, verbose=False)
    >>> history = trainer.fit(x, y, epochs=3)
    >>> 1e-4 < monitor.update_ratio["affine1.w"][-1] < 1e-2
    True
    """

    def __init__(self, x: Any, y: Any, every: int = 1) -> None:
        super().__init__(every)
        self.x, self.y = x, y
        self.gradient_norm: dict[str, list[float]] = {}
        self.update_ratio: dict[str, list[float]] = {}

    def measure(self, trainer: "fnn.Trainer") -> None:
        params = trainer.model.params
        _, gradients = trainer.gradients(self.x, self.y)
        before = {name: params[name].astype(np.float64) for name in gradients}
        try:
            trainer.train_batch(self.x, self.y)
            diverged = False
        except fnn.DivergenceError:  # the fit will find out for itself
            diverged = True
        for name, gradient in gradients.items():
            size = float(np.linalg.norm(before[name]))
            step = float(np.linalg.norm(params[name] - before[name]))
            ratio = math.nan if diverged or size == 0 else step / size
            norm = float(np.linalg.norm(gradient.astype(np.float64)))
            # A layer that was frozen, or is no longer, has gaps.
            for table, value in ((self.gradient_norm, norm), (self.update_ratio, ratio)):
                column = table.setdefault(name, [])
                column += [math.nan] * (len(self.epochs) - len(column))
                column.append(value)

    def plot(self, parameters: "list[str] | None" = None, title: str = "") -> "Figure":
        """Gradient norms and update ratios by epoch, on logarithmic axes.

        Parameters
        ----------
        parameters : list of str, optional
            By default the weights, ``*.w``; all if there are none.
        title : str

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            Nothing was measured, or an unknown parameter.
        ImportError
            matplotlib is not installed; the message names the extra.
        """
        self._check_measured()
        known = list(self.gradient_norm)
        names = parameters or [name for name in known if name.endswith(".w")] or known
        for name in names:
            if name not in known:
                raise ValueError(f"parameters must be among {', '.join(known)}; got {name!r}")
        figure = new_figure(11, 4.6, title)
        norms, ratios = figure.subplots(1, 2)
        for axes, table, label in (
            (norms, self.gradient_norm, "norm of the gradient"),
            (ratios, self.update_ratio, "length of a step / length of the parameter"),
        ):
            _by_epoch(axes, self.epochs, table, names)
            _log_if_positive(axes, [table[name] for name in names])
            axes.set_ylabel(label)
        ratios.axhspan(HEALTHY / 5, HEALTHY * 5, color="#009E73", alpha=0.1, lw=0)
        ratios.axhline(HEALTHY, color="#009E73", linewidth=1, linestyle="--")
        place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "top"}
        ratios.annotate("healthy", (0.99, HEALTHY * 5), color="#009E73", fontsize="small", **place)
        _depth_legend(figure, norms, names)
        return figure


class WeightMonitor(Monitor):
    """Images of the first layer's weights, one for each unit: what it looks for.

    Parameters
    ----------
    every : int
        As in `Monitor`.
    units : int
        How many units are kept, from the first on.
    image_shape : tuple of int, optional
        (height, width), or (channels, height, width); by default the model's input shape, or the
        square of that many features.

    Attributes
    ----------
    epochs : list of int
        As in `Monitor`.
    weights : list of ndarray, (n_in, units)
        Copies of the first columns of the first affine layer's w, one for each of `epochs`.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or value; when a fit begins, the model has no affine layer.
    """

    def __init__(
        self, every: int = 1, units: int = 40, image_shape: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(every)
        self.units = positive_int("units", units)
        self.image_shape = image_shape
        self.weights: list[np.ndarray] = []

    def measure(self, trainer: "fnn.Trainer") -> None:
        layers = (layer for layer in trainer.model.layers if isinstance(layer, Affine))
        first = next(layers, None)
        if first is None:
            raise ValueError("WeightMonitor needs a model with an affine layer")
        if self.image_shape is None and len(trainer.model.input_shape) > 1:
            self.image_shape = trainer.model.input_shape
        self.weights.append(first.w[:, : self.units].copy())

    def plot(self, index: int = -1, title: str = "") -> "Figure":
        """The images of one measurement.

        Parameters
        ----------
        index : int
            Which of `epochs`; by default the last.
        title : str
            By default the epoch.

        Raises
        ------
        ValueError
            Nothing was measured, or the weights make no image.
        ImportError
            matplotlib is not installed; the message names the extra.
        """
        self._check_measured()
        epoch = self.epochs[index]
        when = f"after epoch {epoch}" if epoch else "before training"
        title = title or f"weights of the first layer {when}"
        return weight_images(self.weights[index], self.image_shape, title)


# -- parts of pictures -----------------------------------------------------------------------------


def _depths(names: list[str]) -> list[Any]:
    """A colour for each layer, from dark at the input to light at the output."""
    from matplotlib import colormaps

    return list(colormaps["viridis"](np.linspace(0, 0.88, max(len(names), 2))))[: len(names)]


def _by_epoch(
    axes: "Axes", epochs: list[int], table: dict[str, list[float]], names: list[str]
) -> None:
    for name, colour in zip(names, _depths(names), strict=True):
        if name in table:
            values = table[name] + [math.nan] * (len(epochs) - len(table[name]))
            marker = "o" if len(epochs) == 1 else None
            axes.plot(epochs, values, color=colour, linewidth=1.6, marker=marker, label=name)
    tidy(axes, whole_x=True)
    axes.set_xlabel("epochs trained")
    axes.margins(x=0.02)


def _log_if_positive(axes: "Axes", columns: list[list[float]]) -> None:
    values = np.array([v for column in columns for v in column if math.isfinite(v)])
    if len(values) and values.max() > 0:
        axes.set_ylim(0.5 * values[values > 0].min(), 2 * values.max())
        if values[values > 0].min() * 300 > values.max():
            log_scale(axes)
        else:
            axes.set_yscale("log")


def _depth_legend(figure: "Figure | SubFigure", axes: "Axes", names: list[str]) -> None:
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(len(names), 8),
        frameon=False,
    )
