"""A model of a table: what its columns are, the network, and what is predicted, in one file."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import model_files, storage
from fastnn.backend import get_backend
from fastnn.errors import CorruptFileError
from fastnn.files import FilePath
from fastnn.model import Sequential
from fastnn.tables.columns import Columns
from fastnn.tables.errors import TableError
from fastnn.tables.read import read_table
from fastnn.tables.table import Table
from fastnn.tables.target import Target

if TYPE_CHECKING:
    from pandas import DataFrame

# What the names of the network's arrays begin with in a file.
NETWORK = "network."


class TableModel:
    """Predicts a column of a table from the others.

    Made by `fastnn.tables.train`, `fastnn.tables.search` and `fastnn.tables.load`.

    Parameters
    ----------
    network : Sequential
        Takes what `columns` makes of the table.
    columns : Columns
    target : Target
    decimal_commas : bool
        Whether numbers were written so in the CSV file that it was trained on.

    Attributes
    ----------
    network, columns, target, decimal_commas
        As above.

    Raises
    ------
    ValueError
        The parts do not fit each other.
    """

    def __init__(
        self,
        network: Sequential,
        columns: Columns,
        target: Target,
        decimal_commas: bool = False,
    ) -> None:
        if network.layers[0].n_in != len(columns.features):
            raise ValueError(
                f"the network takes {network.layers[0].n_in} features, its columns give "
                f"{len(columns.features)}"
            )
        if network.output_size != target.outputs:
            raise ValueError(
                f"the network gives {network.output_size} numbers, its target has {target.outputs}"
            )
        self.network, self.columns, self.target = network, columns, target
        self.decimal_commas = decimal_commas

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of `predict_proba`; empty in regression."""
        return self.target.classes

    def predict(self, data: "DataFrame | FilePath") -> np.ndarray:
        """Predictions, one for each row.

        Parameters
        ----------
        data : pandas.DataFrame or path-like
            A table with the columns that the model was trained on, in any order, and any others; or
            the path of its file.

        Returns
        -------
        ndarray, (N,)
            The classes as they are written, as objects of type str; in regression float64.

        Raises
        ------
        TableError
            A column is missing, or cannot be what it was in training.
        OSError
            The file cannot be read.
        """
        return self.decode(self.outputs(self.read(data))[0])

    def predict_proba(self, data: "DataFrame | FilePath") -> np.ndarray:
        """Probabilities of `classes`: (N, classes), each row with the sum 1.

        Raises
        ------
        ValueError
            The model is one of regression.

        Others as `predict`.
        """
        if not self.classes:
            raise ValueError(f"predict_proba needs classes; {self.target.name!r} is a number")
        return self.outputs(self.read(data))[0]

    def read(self, data: Any, encoding: str | None = None) -> Table:
        """A table to predict from: as in `fastnn.tables.read`, with what each column is known."""
        return read_table(
            data,
            encoding=encoding,
            text_columns=self.columns.text_columns,
            number_columns=self.columns.number_columns,
            decimal_commas=self.decimal_commas,
        )

    def outputs(self, table: Table) -> tuple[np.ndarray, list[str]]:
        """Probabilities (N, classes), or numbers (N,); and what is odd about the table, in words.

        Raises
        ------
        TableError
            As `predict`.
        """
        x, odd = self.columns.encode(table.frame, table.source)
        return self.outputs_of(x), odd

    def outputs_of(self, x: np.ndarray) -> np.ndarray:
        """`outputs` for rows that `columns` has made numbers of."""
        if self.classes:
            return self.network.predict_proba(x)
        scores = self.network.predict(x)[:, 0].astype(np.float64)
        return scores * self.target.scale + self.target.mean

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions out of `outputs`: of probabilities, the class with the highest."""
        if not self.classes:
            return outputs
        return np.array(self.classes, dtype=object)[outputs.argmax(axis=1)]

    def save(self, path: FilePath) -> None:
        """Write the model to one safetensors file, at once or not at all; see `fastnn.tables.load`.

        Raises
        ------
        OSError
            The file cannot be written; an older one is left as it was.
        """
        arrays, network = model_files.contents(self.network)
        description = {
            "model": "table",
            "network": network,
            "columns": self.columns.config(),
            "target": self.target.config(),
            "decimal_commas": self.decimal_commas,
        }
        storage.write_file(path, {f"{NETWORK}{n}": a for n, a in arrays.items()}, description)

    @classmethod
    def load(cls, path: FilePath, backend: str | None = None) -> "TableModel":
        """Read what `save` wrote; see `fastnn.tables.load`."""
        arrays, description = storage.read_file(path)
        get_backend(backend)  # a wrong name is the caller's mistake, not the file's
        name = os.fspath(path)
        if description.get("model") == "sequential":
            raise TableError(
                f"{name!r} holds a network alone, which knows no columns: fastnn.load reads it"
            )
        try:
            return cls._rebuild(arrays, description, backend)
        except (
            KeyError,
            TypeError,
            ValueError,
            IndexError,
            OverflowError,
            AttributeError,
        ) as error:
            raise CorruptFileError(
                f"{name!r} is not a model of a table: {storage.short(error)}"
            ) from error

    @classmethod
    def _rebuild(
        cls, arrays: dict[str, np.ndarray], description: dict[str, Any], backend: str | None
    ) -> "TableModel":
        if description["model"] != "table":
            raise ValueError(f"unknown model {description['model']!r}")
        columns = Columns.from_config(description["columns"])
        target = Target.from_config(description["target"])
        if type(description["decimal_commas"]) is not bool:
            raise ValueError(f"decimal_commas is {description['decimal_commas']!r}")
        odd = [name for name in arrays if not name.startswith(NETWORK)]
        if odd:
            raise ValueError(f"it has an array {odd[0]!r} that belongs nowhere")
        own = {name.removeprefix(NETWORK): array for name, array in arrays.items()}
        network = model_files.rebuild(Sequential, own, description["network"], backend)
        return cls(network, columns, target, description["decimal_commas"])

    def __repr__(self) -> str:
        what = f"{len(self.classes)} classes" if self.classes else "a number"
        columns = len(self.columns.columns)
        return f"<TableModel of {self.target.name!r}, {what}, from {columns} columns>"


def load(path: FilePath, backend: str | None = None) -> TableModel:
    """Read a model that `TableModel.save` wrote.

    Parameters
    ----------
    path : path-like
    backend : {"cython", "numba", "numpy"}, optional
        As in `Sequential`.

    Raises
    ------
    CorruptFileError
        The file is damaged, was changed, or is not such a model. Nothing in it is executed.
    TableError
        It holds a network alone.
    OSError
        The file cannot be read.
    """
    return TableModel.load(path, backend)
