"""Models of tables: columns of numbers, text and gaps in, predictions out.

>>> import fastnn as fnn
>>> trained = fnn.tables.train("houses.csv", "price")  # doctest: +SKIP
>>> print(trained.outcome.sentence)  # doctest: +SKIP
>>> trained.model.save("houses.fnn")  # doctest: +SKIP
>>> fnn.tables.load("houses.fnn").predict("new.csv")  # doctest: +SKIP

It needs the extra ``table``: pandas, scikit-learn, and pyarrow for Parquet.
"""

from fastnn.tables.errors import TableError
from fastnn.tables.export_numpy import export_numpy
from fastnn.tables.export_onnx import export_onnx
from fastnn.tables.fit import TrainedTable, train
from fastnn.tables.outcome import ColumnFact, Outcome
from fastnn.tables.read import read
from fastnn.tables.search import search
from fastnn.tables.settings import Settings
from fastnn.tables.table_model import TableModel, load

__all__ = [
    "ColumnFact",
    "Outcome",
    "Settings",
    "TableError",
    "TableModel",
    "TrainedTable",
    "export_numpy",
    "export_onnx",
    "load",
    "read",
    "search",
    "train",
]
