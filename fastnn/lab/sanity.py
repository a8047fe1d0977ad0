"""Sanity checks before training: data, labels, first loss, penalty, whether anything is learned.

After A. Karpathy, "A Recipe for Training Neural Networks" (2019), and the Stanford course CS231n,
"Neural Networks Part 3: Learning and Evaluation", section "Sanity checks".
"""

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import fastnn as fnn
from fastnn.checks import Rng, as_array, as_real, generator, source_rows
from fastnn.engine import EagerEngine
from fastnn.lab.reports import Finding, Report, as_trainer
from fastnn.layers import Dropout, Layer
from fastnn.regularizers import Regularizer

# Rows that the checks of data read, and those of losses; enough to see what they look for.
DATA_ROWS = 10_000
LOSS_ROWS = 500
# Features this large, or of this spread, are bytes, dates, amounts: nothing that weights expect.
LARGE, SMALL = 10.0, 1e-3
IMBALANCED = 10.0
# A first loss within these of log C: He's initial weights give outputs of variance 2 in the mean,
# which cost up to about one; well below log C the network knows something already.
FIRST_LOSS_ABOVE, FIRST_LOSS_BELOW = 1.2, 0.25
# Losses that start at log C; the last one, of outputs that are a yes or no each, at log 2.
CROSS_ENTROPIES = (fnn.SoftmaxCrossEntropy, fnn.CrossEntropy, fnn.BinaryCrossEntropy)
HANDFUL = 20
# By heart: every label, and the loss below this share of the first.
BY_HEART = 0.1
# Learned by heart with rates after one another: the first one that does it is enough.
RATES = (3e-3, 3e-2, 3e-4)
STEPS = 300
SUBSET = 1000
SUBSET_EPOCHS = 20


def sanity_check(
    model: "fnn.Sequential | fnn.Trainer", x: Any, y: Any, rng: Rng = 0, **settings: Any
) -> Report:
    """Ask, before training, what most often is wrong, and say it in words.

    - **input**: no NaN or Inf; a scale that weights expect; features that never vary.
    - **labels**: what the loss takes; every class there, none ten times as common as another.
    - **initial loss**: about ``-log(1/C)`` for C classes, ``-log(1/2)`` for a yes or no, as of a
      network that knows nothing; and no softmax or sigmoid before a loss that has its own.
    - **penalty**: adding one raises the loss (a small L2 where no regularizer is set).
    - **by heart**: 20 rows can be learned by heart, with dropout and penalties off.
    - **shuffled labels**: with the labels as they are, held-out rows are told better than with
      labels shuffled; if not, labels and rows do not belong together.

    Parameters
    ----------
    model : Sequential or Trainer
        A trainer's loss and regularizer are used. Neither is changed: what must be trained is a
        copy.
    x, y : array_like
        The training data, as in `Trainer.fit`.
    rng : int or numpy.random.Generator, optional
        Draws which rows are looked at.
    **settings
        Of a `Trainer`, where a model is given: ``loss=``, ``regularizer=``, ...

    Returns
    -------
    Report
        Words when printed; ``report.ok``; ``report["initial loss"].verdict`` is "right", "wrong",
        "note" or "skipped".

    Raises
    ------
    TypeError, ValueError
        A model or setting that `Trainer` refuses; x of another shape than the model's input, or not
        of real numbers. What else is wrong with the data is reported.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), _ = fnn.data.load_digits()
    >>> model = fnn.mlp(64, [50], 10, rng=0)
    >>> report = fnn.lab.sanity_check(model, x, y)
    >>> report.ok
    True
    >>> fnn.lab.sanity_check(model, 255 * x, y).wrong
    ['input', 'initial loss']
    """
    findings = list(_Checks(as_trainer(model, settings), x, y, generator(rng)).run())
    wrong = [finding.name for finding in findings if finding.verdict == "wrong"]
    summary = f"Not ready to train: {', '.join(wrong)}." if wrong else "Ready to train."
    return Report(findings, summary)


class _Checks:
    """The checks of one model on some data.

    Parameters
    ----------
    trainer : Trainer
    x, y : array_like
    rng : numpy.random.Generator
    """

    def __init__(self, trainer: "fnn.Trainer", x: Any, y: Any, rng: np.random.Generator) -> None:
        self.trainer = trainer
        self.model = trainer.model
        self.loss = trainer.loss
        self.classifies = trainer.loss.classifies
        self.classes = trainer.model.output_size
        self.x = source_rows("x", x, self.model.input_shape, self.model.dtype)
        self.y = y
        self.order = rng.permutation(len(self.x))
        self.shuffling = rng.permutation(len(self.x))

    def run(self) -> Iterator[Finding]:
        """One finding of each check; those that the data do not allow are skipped."""
        inputs = self.input()
        yield inputs
        targets: np.ndarray | None = None
        try:
            targets = self.loss.targets(self.y, len(self.x), self.classes, self.model.dtype)
        except (TypeError, ValueError) as error:
            yield Finding("labels", "wrong", str(error), _label_advice(self.y, self.classes))
        else:
            yield self.labels(targets)
        checks = (
            ("initial loss", self.initial_loss),
            ("penalty", self.penalty),
            ("by heart", self.by_heart),
            ("shuffled labels", self.shuffled_labels),
        )
        learns = True
        for name, check in checks:
            if targets is None or "bad_rows" in inputs.numbers:
                yield Finding(name, "skipped", "first put the data right")
            elif not learns:
                yield Finding(name, "skipped", "nothing is learned, whatever the labels")
            else:
                finding = check(targets)
                learns = (name, finding.verdict) != ("by heart", "wrong")
                yield finding

    # -- data --------------------------------------------------------------------------------------

    def input(self) -> Finding:
        """NaN and Inf, scale, constant features."""
        name = "input"
        finite = np.array([np.isfinite(row).all() for row in _pieces(self.x)])
        if not finite.all():
            rows = np.flatnonzero(~np.isfinite(self.x).all(axis=1))
            return Finding(
                name,
                "wrong",
                f"NaN or Inf in {len(rows)} of {len(self.x)} rows, the first of them row {rows[0]}",
                "Leave these rows out, or put a value (such as the feature's median) in place.",
                {"bad_rows": float(len(rows))},
            )
        sample = as_real(self.x[np.sort(self.order[:DATA_ROWS])], np.dtype("float64"))
        largest, spread = float(np.abs(sample).max()), float(sample.std())
        constant = int((sample.min(axis=0) == sample.max(axis=0)).sum())
        numbers = {"largest": largest, "spread": spread, "constant": float(constant)}
        if constant == sample.shape[1]:
            return Finding(name, "wrong", "no feature varies", "Look at how x is loaded.", numbers)
        seen = (
            f"values from {sample.min():.3g} to {sample.max():.3g}, standard deviation {spread:.2g}"
        )
        if constant:
            seen += f"; {constant} of {sample.shape[1]} features never vary, which costs nothing"
        typical = np.abs(sample).mean(axis=0)
        if typical.max() > LARGE:
            return Finding(
                name,
                "wrong",
                f"{seen}: too large for weights that expect numbers about 1",
                "Standardize: subtract each feature's mean and divide by its standard deviation, "
                "both taken from the training rows. Pass images as uint8: they are scaled to "
                "[0, 1] as they are read.",
                numbers,
            )
        if spread < SMALL:
            return Finding(
                name,
                "wrong",
                f"{seen}: hardly anything for the weights to work with",
                "Standardize; if x was divided by 255, do it once only, and not for uint8.",
                numbers,
            )
        return Finding(name, "right", seen, numbers=numbers)

    def labels(self, targets: np.ndarray) -> Finding:
        """Balance of the classes; for numbers, their scale."""
        if not self.classifies:
            spread = float(np.std(targets))
            if spread == 0 or not 1e-3 < spread < 1e3:
                return Finding(
                    "labels",
                    "wrong",
                    f"the targets' standard deviation is {spread:.3g}",
                    "Standardize the targets, and scale predictions back.",
                )
            return Finding("labels", "right", f"numbers of standard deviation {spread:.3g}")
        counts = np.bincount(self._classes_of(targets), minlength=self.classes)
        missing = np.flatnonzero(counts == 0)
        least, most = int(counts[counts > 0].min()), int(counts.max())
        numbers = {"least": float(least), "most": float(most), "missing": float(len(missing))}
        if np.count_nonzero(counts) == 1:
            return Finding(
                "labels",
                "wrong",
                f"every row is of class {counts.argmax()}",
                "Look at how y is loaded.",
                numbers,
            )
        if len(missing):
            some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
            return Finding(
                "labels",
                "note",
                f"no row is of class {some}, for which the network has an output",
                f"If there are only {np.count_nonzero(counts)} classes, number them from 0 and "
                "give the network as many outputs.",
                numbers,
            )
        seen = f"{self.classes} classes, of {least} to {most} rows"
        if most > IMBALANCED * least:
            return Finding(
                "labels",
                "note",
                f"{seen}: always to say the commonest is right in {most / len(self.x):.0%}",
                "Compare accuracy with that; pass class_weight to fit if rare classes matter.",
                numbers,
            )
        return Finding("labels", "right", seen, numbers=numbers)

    # -- losses ------------------------------------------------------------------------------------

    def initial_loss(self, targets: np.ndarray) -> Finding:
        """The first cross-entropy, beside log C."""
        name = "initial loss"
        classes = self.classes if self.classifies else 2
        if not isinstance(self.loss, CROSS_ENTROPIES):
            return Finding(
                name, "skipped", f"what {self.loss.kind} should start at is known to nobody"
            )
        last = self.model.layers[-1]
        if isinstance(last, (fnn.Softmax, fnn.Sigmoid)) and self.loss.kind != "cross_entropy":
            return Finding(
                name,
                "wrong",
                f"{self.loss.kind} takes scores, of which it makes probabilities, and {last.name} "
                "has made them already: made twice they hardly differ, and little is learned",
                f"Leave {last.name} out: predict_proba gives probabilities without it.",
            )
        if self.model.step:
            return Finding(
                name, "skipped", f"the model has been trained for {self.model.step} steps"
            )
        loss = self._losses(targets)[0]
        expected = math.log(classes)
        numbers = {"loss": loss, "expected": expected}
        seen = f"{loss:.3g}; -log(1/{classes}) = {expected:.3g} for who knows nothing"
        # With two classes, log C is 0.7: the room above is that of the initial outputs, not of C.
        if loss > expected + FIRST_LOSS_ABOVE or not math.isfinite(loss):
            return Finding(
                name,
                "wrong",
                f"{seen}: the first outputs are sure of themselves, and mistaken",
                "Scale the input to about 1; take init='he' for ReLU and 'xavier' for tanh and "
                "sigmoid, or a smaller init for the last layer.",
                numbers,
            )
        if loss < expected * (1 - FIRST_LOSS_BELOW):
            return Finding(
                name,
                "wrong",
                f"{seen}: the network knows something before it has learned",
                "See whether the labels are among the features, and whether most rows are of one "
                "class.",
                numbers,
            )
        return Finding(name, "right", seen, numbers=numbers)

    def penalty(self, targets: np.ndarray) -> Finding:
        """The loss without and with penalties."""
        name = "penalty"
        if not any(layer.weight_names for layer in self.model.layers):
            return Finding(name, "skipped", "no layer has weights that penalties apply to")
        own = self.trainer.regularizer
        is_set = own is not None or any(layer.regularizer for layer in self.model.layers)
        tried = own if is_set else fnn.L2(1e-3)
        plain, penalized = self._losses(targets, tried)
        numbers = {"loss": plain, "with_penalty": penalized}
        what = "the regularizer" if is_set else f"{tried!r}, set for this check only,"
        seen = f"{what} takes the loss from {plain:.4g} to {penalized:.4g}"
        if not penalized > plain:
            return Finding(
                name,
                "wrong",
                f"{seen}, which is no rise",
                "Look for weights that are all zero, or a strength of 0.",
                numbers,
            )
        if penalized - plain > max(plain, 1e-12):
            return Finding(
                name,
                "note",
                f"{seen}: at first it counts for more than the data",
                "Take a smaller strength, unless this is meant.",
                numbers,
            )
        return Finding(name, "right", seen, numbers=numbers)

    # -- learning ----------------------------------------------------------------------------------

    def by_heart(self, targets: np.ndarray) -> Finding:
        """A handful of rows, learned by heart on a copy."""
        name = "by heart"
        rows = self._handful(targets)
        x, y = np.ascontiguousarray(self.x[rows]), targets[rows]
        if len(rows) < 2:
            return Finding(name, "skipped", "there is one row only")
        if self._contradicts(x, y):
            return Finding(
                name,
                "wrong",
                "equal rows have different labels: nobody could tell them apart",
                "Look for features that were lost, and whether x and y are in the same order.",
            )
        best: dict[str, float] = {}
        for rate in RATES:
            numbers = self._memorize(x, y, rate)
            if not best or numbers["share_of_first_loss"] < best["share_of_first_loss"]:
                best = numbers
            learned = best["share_of_first_loss"] < BY_HEART and best.get("accuracy", 1.0) == 1.0
            if learned:
                break
        seen = f"{len(rows)} rows in {STEPS} steps, the loss down to "
        seen += f"{best['share_of_first_loss']:.1%} of the first"
        if "accuracy" in best:
            seen += f", {best['accuracy']:.0%} right"
        if learned:
            return Finding(name, "right", seen, numbers=best)
        return Finding(
            name,
            "wrong",
            f"{seen}: what cannot be learned by heart cannot be learned at all",
            "Look at initial weights (zeros? far too small for the depth?), saturated or dead "
            "units, frozen layers and, in a layer of your own, at its gradient.",
            best,
        )

    def shuffled_labels(self, targets: np.ndarray) -> Finding:
        """Held-out rows after a short training on right, and on shuffled, labels."""
        name = "shuffled labels"
        rows = self.order[:SUBSET]
        if len(rows) < 100:
            return Finding(name, "skipped", f"too few rows to tell: {len(rows)}, of at least 100")
        kept, held = rows[len(rows) // 4 :], rows[: len(rows) // 4]
        other = targets[self.shuffling]
        true, shuffled = (self._held_out(y, kept, held) for y in (targets, other))
        numbers = {"true": true, "shuffled": shuffled}
        if self.classifies:
            seen = f"{true:.0%} of the held-out rows right, mean of the classes; "
            seen += f"with shuffled labels {shuffled:.0%}"
            margin = 3 * math.sqrt(0.25 / len(held))  # standard deviations of a share, at most
            better = true > shuffled + min(margin, 0.5 * (1 - shuffled))
        else:
            seen = f"held-out loss {true:.3g}; with shuffled targets {shuffled:.3g}"
            better = true < 0.9 * shuffled
        if better:
            return Finding(name, "right", seen, numbers=numbers)
        return Finding(
            name,
            "wrong",
            f"{seen}: after a short training, x seems to say nothing about y",
            "See whether x and y are in the same order, and whether x holds what y depends on; "
            "a hard task may need more rows and epochs than this check takes.",
            numbers,
        )

    # -- parts -------------------------------------------------------------------------------------

    def _classes_of(self, targets: np.ndarray) -> np.ndarray:
        return targets if targets.ndim == 1 else targets.argmax(axis=1)

    def _losses(
        self, targets: np.ndarray, regularizer: Regularizer | None = None
    ) -> tuple[float, float]:
        """Loss of some rows in training mode, without any penalty and with all."""
        rows = np.sort(self.order[:LOSS_ROWS])
        trainer = fnn.Trainer(
            self.model, self.loss, regularizer=regularizer, engine="eager", verbose=False
        )
        with trainer.restored():
            loss, _ = trainer.gradients(self.x[rows], targets[rows])
        penalty = EagerEngine(self.model, self.loss, fnn.SGD(), regularizer).penalty()
        return loss - penalty, loss

    def _handful(self, targets: np.ndarray) -> np.ndarray:
        """Some rows, of all classes as far as they go."""
        if not self.classifies:
            return self.order[:HANDFUL]
        classes = self._classes_of(targets)[self.order]
        # How many of its class came before each row: rows of all classes come in turns.
        turn = np.empty(len(classes), dtype=np.int64)
        for label in np.unique(classes):
            own = np.flatnonzero(classes == label)
            turn[own] = np.arange(len(own))
        return self.order[np.argsort(turn, kind="stable")[:HANDFUL]]

    def _contradicts(self, x: np.ndarray, y: np.ndarray) -> bool:
        _, first, group = np.unique(x, axis=0, return_index=True, return_inverse=True)
        same = y == y[first[group.ravel()]]
        return not same.all()

    def _copy(self) -> "fnn.Sequential":
        """A copy of the model for training, without dropout and penalties."""
        model = copy.deepcopy(self.model)
        for layer in model.layers:
            _unhinder(layer)
        return model

    def _memorize(self, x: np.ndarray, y: np.ndarray, rate: float) -> dict[str, float]:
        """How far the loss of these rows, in training mode, comes down, and how many are right."""
        trainer = fnn.Trainer(
            self._copy(), self.loss, fnn.Adam(rate), batch_size=len(x), verbose=False, rng=0
        )
        try:
            history = trainer.fit(x, y, epochs=STEPS)
        except fnn.DivergenceError:
            return {"share_of_first_loss": math.inf} | (
                {"accuracy": 0.0} if self.classifies else {}
            )
        first, last = history["loss"][0], history["loss"][-1]
        numbers = {"share_of_first_loss": last / first if first else 0.0}
        if self.classifies and "accuracy" in history:
            numbers["accuracy"] = history["accuracy"][-1]
        return numbers

    def _held_out(self, targets: np.ndarray, kept: np.ndarray, held: np.ndarray) -> float:
        """What a short training makes of held-out rows: the share right in the mean of the classes,
        so that to say the commonest class counts for nothing; or the loss.
        """
        trainer = fnn.Trainer(
            self._copy(), self.loss, fnn.Adam(RATES[0]), batch_size=50, verbose=False, rng=0
        )
        try:
            trainer.fit(self.x[kept], targets[kept], epochs=SUBSET_EPOCHS)
        except fnn.DivergenceError:
            return 0.0 if self.classifies else math.inf
        if not self.classifies:
            return trainer.evaluate(self.x[held], targets[held])["loss"]
        classes = self._classes_of(targets)[held]
        right = trainer.model.predict(self.x[held]).argmax(axis=1) == classes
        return float(np.mean([right[classes == label].mean() for label in np.unique(classes)]))


def _unhinder(layer: Layer) -> None:
    """Take from a layer what is there to keep it from learning by heart."""
    layer.regularizer = None
    if isinstance(layer, Dropout):
        layer.ratio = 0.0


def _pieces(x: np.ndarray) -> Iterator[np.ndarray]:
    """Runs of rows: a memory-mapped array never lies in memory as a whole."""
    for start in range(0, len(x), DATA_ROWS):
        yield x[start : start + DATA_ROWS]


def _label_advice(y: Any, classes: int) -> str:
    labels = as_array("y", y)
    if labels.ndim == 1 and labels.dtype.kind in "iu" and labels.size:
        if labels.min() == 1 and labels.max() == classes:
            return "Number the classes from 0: subtract 1."
        return f"Number the classes from 0, and give the network {labels.max() + 1} outputs."
    if labels.dtype.kind == "f" and labels.ndim == 1:
        return "Convert them, y.astype(int); or take a loss for numbers."
    if labels.dtype.kind in "OUS":
        return "Number the classes: numpy.unique(y, return_inverse=True)[1]."
    return "See Trainer.fit for what y may be."
