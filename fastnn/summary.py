"""A model as a table for people."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from fastnn.layers import Layer
from fastnn.markup import Markup, in_notebook, markup, table

if TYPE_CHECKING:
    from fastnn.model import Sequential


class Summary(str):
    """A table as text, which the prompt shows as it is, and a notebook as a table.

    Parameters
    ----------
    rows : sequence of sequence of str
        The first is the header.
    notes : sequence of str
        Lines below the table.
    left : collection of int
        Columns of words; the others hold numbers.
    """

    __slots__ = ("_parts",)
    _parts: tuple[Sequence[Sequence[str]], Sequence[str], Collection[int]]

    def __new__(
        cls, rows: Sequence[Sequence[str]], notes: Sequence[str], left: Collection[int]
    ) -> "Summary":
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines.insert(1, "-" * max(map(len, lines)))
        summary = super().__new__(cls, "\n".join([*lines, *notes]))
        summary._parts = (rows, notes, left)
        return summary

    def __repr__(self) -> str:
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._parts

    def _repr_html_(self) -> str:
        (header, *rows), notes, left = self._parts
        lines = (Markup(f"<div>{markup(note)}</div>") for note in notes)
        return in_notebook(table(header, rows, left=left), *lines)


def summarize(model: "Sequential") -> Summary:
    """The table of `Sequential.summary`."""
    rows = [("layer", "settings", "output", "memory", "parameters")]
    for layer in model.layers:
        count = sum(model.params[f"{layer.name}.{key}"].size for key in layer.param_names)
        held = sum(getattr(layer, k).nbytes for k in layer.param_names + layer.state_names)
        note = _training_note(layer) if count else ""
        shape = f"(N, {layer.n_out})"
        rows.append((layer.name, repr(layer), shape, _bytes(held), f"{count:,}{note}"))
    notes = [_totals(model)]
    if model.preprocessing is not None:
        notes.append(f"its rows come from {model.preprocessing!r}: apply that first")
    return Summary(rows, notes, left=(0, 1, 2))


def _totals(model: "Sequential") -> str:
    total = model.parameter_count
    trained = sum(model.params[name].size for name in model.trained_names())
    part = "" if trained == total else f" ({trained:,} trained)"
    held = sum(view.nbytes for view in (model.params | model.state).values())
    shape = ", ".join(map(str, model.input_shape))
    return (
        f"input (N, {shape}); {total:,} parameters{part}, {model.dtype}, "
        f"{_bytes(held)}; backend {model.backend.name}"
    )


def _training_note(layer: Layer) -> str:
    if not layer.trainable:
        return " (frozen)"
    return "" if layer.lr_scale == 1 else f" (lr x {layer.lr_scale:g})"


def _bytes(count: int) -> str:
    """A number of bytes, in a unit that makes it short."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
