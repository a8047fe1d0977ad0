"""Models of tables as one Python file that needs NumPy alone."""

import pprint
from typing import TYPE_CHECKING

from fastnn.files import FilePath, replace_file
from fastnn.io.exportable import sequential
from fastnn.io.numpy_file import embedded, indented, needed_functions, network_lines
from fastnn.version import __version__

if TYPE_CHECKING:
    from fastnn.tables.table_model import TableModel

FILE = '''\
"""A model of a table, written by fastnn {version}. It needs NumPy, and no other file.

predict(columns) takes a dict: name of a column to its values, one for each row. What is missing is
None, NaN or "". It gives {given}.
"""

import base64
import io
{math}
import numpy as np

# What becomes of each column, in the order of the network's inputs.
COLUMNS = {columns}
{constants}

def text(value):
    """A value as the categories are written; "" where it is missing."""
    if value is None or value != value:
        return ""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def number(value):
    """A value as a float; NaN where it is missing, or no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def encode(columns):
    """The rows that the network takes, (N, {features}), out of the columns."""
    features = []
    for column in COLUMNS:
        if column["name"] not in columns:
            raise ValueError(f"columns must have {{column['name']!r}}; got {{list(columns)}}")
        values = columns[column["name"]]
        if column["kind"] == "numeric":
            x = np.array([number(value) for value in values])
            missing = np.isnan(x)
            words = [value for value in values if text(value)]
            if words and missing.all():
                raise ValueError(
                    f"columns[{{column['name']!r}}] must hold numbers; got {{words[0]!r}}"
                )
            filled = np.where(missing, column["median"], x)
            features.append((filled - column["mean"]) / column["scale"])
        else:
            names = [text(value) for value in values]
            if set(column["categories"]) <= {{"True", "False"}}:
                # As tables were read in training: true and FALSE are the same.
                names = [
                    name.title() if name.title() in ("True", "False") else name for name in names
                ]
            missing = np.array([name == "" for name in names])
            for category in column["categories"]:
                features.append(np.array([name == category for name in names]))
        if column["marks_missing"]:
            features.append(missing)
    return np.stack(features, axis=1).astype(np.float32)

{functions}
def network(x):
    """Outputs of the last layer for rows of encode."""
{layers}    return x

{predict}
# Weights: the arrays of an .npz file.
W = dict(np.load(io.BytesIO(base64.b64decode("""
{weights}
"""))))
'''

CLASSES = '''
def predict_proba(columns):
    """Probabilities of CLASSES, (N, classes)."""
    return softmax(network(encode(columns)))


def predict(columns):
    """The most probable class of each row."""
    return [CLASSES[place] for place in predict_proba(columns).argmax(axis=1)]

'''

NUMBERS = '''
def predict(columns):
    """A number for each row."""
    return network(encode(columns))[:, 0].astype(np.float64) * SCALE + MEAN

'''


def export_numpy(model: "TableModel", path: FilePath) -> None:
    """Write a model of a table, with what it does to the columns, as a Python file.

    It needs NumPy alone. Its ``predict(columns)`` takes a dict: name of a column to its values; and
    gives classes or numbers. ``predict_proba(columns)`` gives the probabilities of ``CLASSES``.

    Parameters
    ----------
    model : TableModel
    path : path-like
        The file is replaced at once or not at all.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    network, target = sequential(model.network), model.target
    layers = network_lines(network)
    predict = CLASSES if model.classes else NUMBERS
    functions = needed_functions("\n".join(layers) + predict)
    constants = f"MEAN, SCALE = {target.mean!r}, {target.scale!r}\n"
    if model.classes:
        constants = f"CLASSES = {_literal([*model.classes])}\n"
    source = FILE.format(
        version=__version__,
        given=f"the {'class' if model.classes else 'number'} of each row, a list or array",
        math="import math\n" if "math." in functions else "",
        columns=_literal(model.columns.config()),
        constants=constants,
        features=len(model.columns.features),
        functions=functions,
        layers=indented(layers),
        predict=predict,
        weights=embedded(network.params | network.state),
    )
    replace_file(path, [source.encode()])


def _literal(value: object) -> str:
    """A list as code."""
    return pprint.pformat(value, width=100, sort_dicts=False)
