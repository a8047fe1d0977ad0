"""What the curves of a fit say, in words."""

import math
import operator
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

import fastnn as fnn
from fastnn.lab.reports import Finding, Report

MIN_EPOCHS = 5
# Share of the epochs with a rise that makes a learning rate too high.
RESTLESS = 0.15
# Learning rate from which an adaptive optimizer may saturate units within the first epoch.
LONG_STEPS = 0.02


def diagnose(
    history: Mapping[str, Sequence[float]],
    error: "fnn.DivergenceError | None" = None,
    kept: int | None = None,
) -> Report:
    """Say in words what the curves of a fit show.

    It names "diverging", "learning rate too high", "learning rate too low", "bad initialization",
    "underfitting", "plateau" and "overfitting", by the rules below.
    They are rules of thumb: a task with much noise in its labels cannot be fitted better, and is
    called underfitted all the same.

    Parameters
    ----------
    history : History or mapping of str to sequence of float
        "loss" by epoch; "accuracy", "val_loss", "val_accuracy" and "lr" where there are any. Fewer
        than 5 epochs show divergence only.
    error : DivergenceError, optional
        What the fit ended with; the history has nothing of the epoch in which it came.
    kept : int, optional
        The epoch, from 0, that the model was put back to: ``EarlyStopping.best_epoch``. Then
        overfitting is judged there; what came after it is a note.

    Returns
    -------
    Report
        Words when printed; ``report.ok``, ``report.wrong``: names of what is wrong.

    Raises
    ------
    TypeError, ValueError
        Not a mapping with a "loss"; no epoch, and no error; an error of another kind; ``kept`` is
        none of its epochs.

    Notes
    -----
    The rules read curves as the Stanford course CS231n teaches it ("Neural Networks Part 3:
    Learning and Evaluation", section "Babysitting the learning process"); their thresholds were set
    on short fits of the 8x8 digits, good and bad: three optimizers, four activations, five initial
    weights, at rates from far too low to far too high. L is the training loss by epoch. Who knows
    nothing of the labels but how many there are has the accuracy A = 1/C and the loss
    log C = -log A; so the two together show it, whatever C is.

    - **diverging**: the fit ended in a DivergenceError, a loss is not finite, or the last one is
      the highest of all and above 1.5 times the first.
    - **learning rate too high**: in at least 15 % of the epochs L is 5 % above its best so far,
      and by 5 % of the middle one of the first three. Or nothing is known at the end, though L
      was once above 1.15 times its level there, or below 0.9 times: units were killed.
    - **bad initialization**: nothing is known at the end and never was: in the last third of the
      epochs L lies within 15 % of -log A, flat, and without a steady fall. Or L began 5 times above
      -log A: sure, and mistaken; and the rate was not too high.
    - **learning rate too low**: L still falls in the last third, by at least 0.3 times as much as
      in the first, in 80 % of all epochs, and is above 0.2 times the first L.
    - **underfitting**: L fell by less than a fifth in the last third, and the accuracy on training
      rows is below 0.8 (without accuracy: L is above 0.3 times the first), though the learning rate
      has not run out.
    - **plateau**: in the last third L changed by less than 2 %, and is above 0.1 times the first L.
      As a note: it did so for 5 epochs, and a sixth of all, and fell on then.
    - **overfitting**: accuracy on training rows is 5 points above that on validation rows, or the
      validation loss ends 1.4 times above its lowest while L fell on, and that epoch was not kept.

    Examples
    --------
    >>> import fastnn as fnn
    >>> (x, y), test = fnn.data.load_digits()
    >>> trainer = fnn.Trainer(fnn.mlp(64, [50], 10, rng=0), optimizer=fnn.Adam(1e-6), verbose=False)
    >>> history = trainer.fit(x, y, epochs=10, validation_data=test)
    >>> fnn.lab.diagnose(history).wrong
    ['learning rate too low']
    """
    if not isinstance(history, Mapping):
        raise TypeError(f"history must be a History, as fit returns; got {type(history).__name__}")
    losses = np.asarray(history["loss"], dtype=float) if "loss" in history else np.empty(0)
    if error is not None:
        if not isinstance(error, fnn.DivergenceError):
            raise TypeError(f"error must be a DivergenceError or None; got {error!r}")
        return _report([_diverged(error)])
    if losses.ndim != 1 or not len(losses):
        raise ValueError('history must hold at least one epoch under "loss"; got none')
    if kept is not None and not 0 <= operator.index(kept) < len(losses):
        raise ValueError(f"kept must be an epoch from 0 to {len(losses) - 1}; got {kept}")
    curves = _Curves(history)
    findings = _divergence(curves)
    if not findings and len(losses) < MIN_EPOCHS:
        few = f"{len(losses)} of at least {MIN_EPOCHS} epochs: too few to tell more"
        findings = [Finding("length", "skipped", few, "Train longer.")]
    elif not findings and curves.knows_nothing:
        findings = [_stuck(curves)]
    elif not findings:
        findings = _learning(curves) + _generalization(curves, kept)
    return _report(findings)


def _report(findings: list[Finding]) -> Report:
    wrong = [finding.name for finding in findings if finding.verdict == "wrong"]
    if wrong:
        return Report(findings, f"The curves show: {', '.join(wrong)}.")
    told = any(finding.verdict == "right" for finding in findings)
    return Report(findings, "The curves show nothing wrong." if told else "")


class _Curves:
    """The curves, and what the rules ask about them.

    Parameters
    ----------
    history : mapping of str to sequence of float
    """

    def __init__(self, history: Mapping[str, Sequence[float]]) -> None:
        def column(name: str) -> np.ndarray | None:
            return np.asarray(history[name], dtype=float) if name in history else None

        self.loss = np.asarray(history["loss"], dtype=float)
        self.accuracy, self.val_accuracy = column("accuracy"), column("val_accuracy")
        self.val_loss, self.lr = column("val_loss"), column("lr")
        self.third = max(len(self.loss) // 3, 2)

    @cached_property
    def end(self) -> float:
        """Level of the loss in the last third."""
        return float(self.loss[-self.third :].mean())

    @cached_property
    def drift(self) -> float:
        """Change of the loss over the last third, by its straight line, relative to its level."""
        late = self.loss[-self.third :]
        slope = np.polynomial.polynomial.polyfit(np.arange(self.third), late, 1)[1]
        return float(slope * self.third / max(abs(self.end), 1e-12))

    @cached_property
    def steady(self) -> float:
        """Share of the epochs in which the loss fell."""
        return float(np.mean(np.diff(self.loss) < 0))

    @cached_property
    def surprise(self) -> np.ndarray | None:
        """-log of the accuracy by epoch, the better of training's and validation's."""
        if self.accuracy is None:
            return None
        best = self.accuracy
        if self.val_accuracy is not None:
            best = np.fmax(best, self.val_accuracy)
        return -np.log(np.clip(best, 1e-6, 1.0))

    @cached_property
    def mistaken(self) -> np.ndarray:
        """The loss by epoch over what the accuracy, in training mode too, allows; else zeros."""
        if self.accuracy is None:
            return np.zeros_like(self.loss)
        return self.loss / np.maximum(-np.log(np.maximum(self.accuracy, 1e-6)), 0.1)

    @cached_property
    def sure_and_mistaken(self) -> bool:
        """Whether the first epoch was. If it got most rows right, it was unsure instead."""
        return self.accuracy is not None and bool(self.mistaken[0] > 5 and self.accuracy[0] < 0.6)

    @cached_property
    def came_round(self) -> bool:
        """Whether that was over in two epochs: weights too large take longer to be unlearned."""
        return bool(
            self.mistaken is not None and self.mistaken[2] < 3 and self.loss[2] < 0.2 * self.loss[0]
        )

    @cached_property
    def knows_nothing(self) -> bool:
        """Whether the loss is flat where it would be for who knows the number of classes only."""
        if abs(self.drift) > 0.03 or self.steady > 0.9:
            return False
        if self.surprise is None:  # numbers to predict: no part of the first loss was explained
            return self.end > 0.97 * self.loss[0]
        chance = float(self.surprise[-self.third :].mean())
        return abs(self.end - chance) < 0.15 * chance and chance > 0.3

    @cached_property
    def restless(self) -> float:
        """Share of the epochs in which the loss is clearly above its best so far.

        Near zero it may double by chance, and by dropout; near is measured by the middle of the
        first three, for the very first may be that of weights too large.
        """
        best = np.minimum.accumulate(self.loss)[:-1]
        above = self.loss[1:] - best
        return float(np.mean((above > 0.05 * best) & (above > 0.05 * np.median(self.loss[:3]))))

    @cached_property
    def straightness(self) -> float:
        """Fall of the loss in the last third over that in the first."""
        first = self.loss[0] - self.loss[self.third - 1]
        last = self.loss[-self.third] - self.loss[-1]
        return float(last / first) if first > 0 else 0.0

    @cached_property
    def rate_ran_out(self) -> bool:
        """Whether the learning rate was below a hundredth of its highest in the last third."""
        return self.lr is not None and bool(self.lr[-self.third] < 0.01 * self.lr.max())

    def flat_stretch(self) -> tuple[int, int] | None:
        """First and last epoch of the longest stretch without change, after which L fell on."""
        least = max(5, len(self.loss) // 6)
        longest: tuple[int, int] | None = None
        for start in range(len(self.loss) - least):
            away = np.flatnonzero(np.abs(self.loss[start:] / self.loss[start] - 1) > 0.02)
            stop = start + int(away[0]) if len(away) else len(self.loss)
            fell_on = stop < len(self.loss) and self.loss[-1] < 0.8 * self.loss[start]
            length = stop - start
            if fell_on and length >= least and (not longest or length > longest[1] - longest[0]):
                longest = start, stop
        return longest


# -- the rules -------------------------------------------------------------------------------------

LOWER = "Divide the learning rate by 3 to 10, or ask fnn.lab.lr_find for one."


def _diverged(error: "fnn.DivergenceError") -> Finding:
    return Finding(
        "diverging",
        "wrong",
        f"the loss was {error.loss:.3g} at step {error.step}, with learning rate {error.lr:.3g}",
        f"{LOWER} If it also diverges with a tiny rate, ask fnn.lab.sanity_check about the data.",
        {"step": error.step, "loss": error.loss, "lr": error.lr},
    )


def _divergence(curves: _Curves) -> list[Finding]:
    loss = curves.loss
    if not np.isfinite(loss).all():
        epoch = int(np.argmin(np.isfinite(loss))) + 1
        seen = f"the loss of epoch {epoch} is {loss[epoch - 1]}"
    elif len(loss) > 1 and loss[-1] > 1.5 * abs(loss[0]) and loss[-1] == loss.max():
        seen = f"the loss grew from {loss[0]:.3g} to {loss[-1]:.3g}"
    else:
        return []
    return [Finding("diverging", "wrong", seen, LOWER)]


def _stuck(curves: _Curves) -> Finding:
    loss = curves.loss
    seen = f"the loss stays at {curves.end:.3g}"
    if curves.surprise is not None:
        seen += ", that of who knows the number of classes only"
    knew = loss.min() < 0.9 * curves.end
    if loss.max() > 1.15 * curves.end or knew:
        how = "began at" if loss[0] == loss.max() else "was once at"
        how += f" {loss.max():.3g}"
        if knew:
            how = f"had come down to {loss.min():.3g}"
        return Finding(
            "learning rate too high",
            "wrong",
            f"{seen}, and {how}: steps too long have killed or saturated the units",
            f"{LOWER} fnn.lab.ActivationMonitor shows the share of dead units.",
        )
    advice = (
        "Take init='he' for ReLU, 'xavier' for tanh and sigmoid, or BatchNorm; fewer layers, or "
        "ReLU in place of sigmoid. fnn.lab.GradientMonitor shows where gradients vanish."
    )
    if curves.lr is not None and curves.lr.max() > LONG_STEPS:
        # Steps that saturate the units at once leave the same curve.
        advice += f" With Adam or RMSProp a rate of {curves.lr.max():g} may do it: try a tenth."
    return Finding(
        "bad initialization",
        "wrong",
        f"{seen}, from the first epoch on: no gradient gets through",
        advice,
    )


def _sure_and_mistaken(curves: _Curves) -> Finding:
    """What made the loss of the first epoch far larger than its accuracy allows."""
    seen = (
        f"the loss of the first epoch is {curves.loss[0]:.3g}, {curves.mistaken[0]:.0f} times what "
        "its accuracy allows"
    )
    if curves.came_round:
        learned = curves.accuracy is not None and curves.accuracy[-1] >= 0.95
        return Finding(
            "learning rate too high",
            "note" if learned else "wrong",
            f"{seen}, and in the third epoch {curves.mistaken[2]:.1f} times: the first steps threw "
            "the outputs far off",
            f"{LOWER} fnn.WarmUp begins with short steps. If fnn.lab.sanity_check finds the "
            "initial loss wrong, the weights or the features were too large.",
        )
    return Finding(
        "bad initialization",
        "wrong",
        f"{seen}: outputs that are sure of themselves, and mistaken",
        "Smaller initial weights: init='he' for ReLU, 'xavier' for tanh and sigmoid. "
        "Features scaled to about 1. If fnn.lab.sanity_check finds the initial loss right, "
        "the first steps were too long, or a penalty outweighs the data.",
    )


def _learning(curves: _Curves) -> list[Finding]:
    """How the training loss falls, and where it ends."""
    loss, findings = curves.loss, []
    if curves.sure_and_mistaken and curves.restless < RESTLESS:
        findings.append(_sure_and_mistaken(curves))
    if curves.restless >= RESTLESS:
        findings.append(
            Finding(
                "learning rate too high",
                "wrong",
                f"in {curves.restless:.0%} of the epochs the loss jumps above its best so far",
                f"{LOWER} Larger batches make for calmer steps, too.",
                {"restless": curves.restless},
            )
        )
    elif any(f.name == "learning rate too high" and f.verdict == "wrong" for f in findings):
        pass  # what follows would follow from it
    elif (
        curves.straightness > 0.3
        and loss[-1] > 0.2 * loss[0]
        and (curves.steady > 0.8 or loss[-1] > 0.9 * loss[0])
    ):
        findings.append(
            Finding(
                "learning rate too low",
                "wrong",
                f"the loss fell from {loss[0]:.3g} to {loss[-1]:.3g} in {len(loss)} epochs, and in "
                f"the last third still {curves.straightness:.1f} times as fast as in the first",
                "Multiply the learning rate by 3 to 10, or ask fnn.lab.lr_find for one; or train "
                "longer.",
                {"straightness": curves.straightness},
            )
        )
    elif _is_poor(curves) and curves.drift > -0.2 and not curves.rate_ran_out:
        accuracy = "" if curves.accuracy is None else f", {curves.accuracy[-1]:.0%} right"
        findings.append(
            Finding(
                "underfitting",
                "wrong",
                f"not even the training rows are learned: the loss ends at {loss[-1]:.3g}"
                f"{accuracy}, and hardly falls any more",
                "A larger network; less dropout and a weaker penalty; features that tell more. If "
                "fnn.lab.sanity_check can learn a handful of rows by heart, the network works.",
            )
        )
    elif abs(curves.drift) < 0.02 and loss[-1] > 0.1 * loss[0]:
        advice = (
            "The learning rate has run out: let it decay later, or less."
            if curves.rate_ran_out
            else "Lower the learning rate when this begins, as fnn.ReduceLROnPlateau does."
        )
        findings.append(
            Finding(
                "plateau",
                "wrong",
                f"the loss stays at {curves.end:.3g} in the last {curves.third} epochs, with room "
                "below",
                advice,
                {"drift": curves.drift},
            )
        )
    stretch = curves.flat_stretch()
    if stretch:
        findings.append(
            Finding(
                "plateau",
                "note",
                f"from epoch {stretch[0] + 1} to {stretch[1]} the loss hardly changed, then fell "
                "on",
                "Initial weights or a learning rate that suit the activation, or BatchNorm, "
                "shorten this.",
            )
        )
    if not any(finding.verdict == "wrong" for finding in findings):
        seen = f"the loss fell from {loss[0]:.3g} to {loss[-1]:.3g}"
        if curves.accuracy is not None:
            seen += f", {curves.accuracy[-1]:.1%} right"
        findings.insert(0, Finding("learning", "right", seen))
    return findings


def _is_poor(curves: _Curves) -> bool:
    if curves.accuracy is None:
        return bool(curves.loss[-1] > 0.3 * curves.loss[0])
    return bool(curves.accuracy[-1] < 0.8)


def _generalization(curves: _Curves, kept: int | None) -> list[Finding]:
    """What validation rows say beside the training rows, at the end or at the epoch kept."""
    validation = curves.val_loss
    if validation is None:
        return [
            Finding(
                "generalization",
                "skipped",
                "no validation rows",
                "Pass validation_data or validation_share to fit.",
            )
        ]
    late = max(len(validation) // 10, 1)
    end, best = float(np.median(validation[-late:])), int(np.nanargmin(validation))
    rise = end / validation[best] if validation[best] > 0 else math.inf
    rises = rise > 1.4 and curves.loss[-1] < curves.loss[best] and curves.restless < RESTLESS
    gap, told = 0.0, []
    if curves.accuracy is not None and curves.val_accuracy is not None:
        stop = len(validation) if kept is None else kept + 1
        gaps = (curves.accuracy - curves.val_accuracy)[max(stop - late, 0) : stop]
        gap = float(np.median(gaps))
        side = "above" if gap >= 0 else "below"
        told.append(
            f"accuracy on training rows is {100 * abs(gap):.1f} points {side} that on validation "
            "rows" + ("" if kept is None else f" at epoch {kept + 1}, which was kept")
        )
    numbers = {"rise": rise, "gap": gap}
    if rises:
        told.append(
            f"the validation loss was lowest at epoch {best + 1} ({validation[best]:.3g}) and has "
            f"come to {rise:.1f} times that since"
        )
    if gap > 0.05 or (rises and kept is None):
        advice = "More data; weight decay (fnn.L2), dropout, input noise; a smaller network"
        if kept is None:
            advice += "; stop at the best epoch (fnn.EarlyStopping)"
        return [Finding("overfitting", "wrong", "; ".join(told), f"{advice}.", numbers)]
    if rises and kept is not None:
        told.append(f"the model is that of epoch {kept + 1}, which knows nothing of it")
        return [Finding("overfitting", "note", "; ".join(told), numbers=numbers)]
    told = told or [f"the validation loss ends at {end:.3g}, {rise:.2f} times its lowest"]
    return [Finding("generalization", "right", "; ".join(told), numbers=numbers)]
