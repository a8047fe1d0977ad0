import numpy as np
import pytest

from fastnn.data import one_hot


def test_rows_have_a_single_one_in_the_labels_column():
    out = one_hot([2, 0, 1, 2])
    expected = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    np.testing.assert_array_equal(out, expected, strict=True)


def test_columns_and_dtype_can_be_given():
    out = one_hot([1], 4, np.float64)
    np.testing.assert_array_equal(out, np.array([[0.0, 1.0, 0.0, 0.0]]), strict=True)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", ">i4"])
def test_any_integer_type_will_do(dtype):
    labels = np.array([0, 3, 1], dtype=dtype)
    np.testing.assert_array_equal(one_hot(labels).argmax(axis=1), [0, 3, 1])


def test_labels_are_not_changed_and_may_be_strided():
    labels = np.arange(6)
    labels.flags.writeable = False
    np.testing.assert_array_equal(one_hot(labels[::2]).argmax(axis=1), [0, 2, 4])


def test_no_labels():
    out = one_hot(np.zeros(0, int), 3)
    np.testing.assert_array_equal(out, np.zeros((0, 3), np.float32), strict=True)
    with pytest.raises(ValueError, match="labels is empty"):
        one_hot(np.zeros(0, int))


@pytest.mark.parametrize("labels", [[0.0, 1.0], [True, False], ["a", "b"], [None, 1]])
def test_labels_that_are_no_integers_are_refused(labels):
    with pytest.raises(TypeError, match="labels must be integers"):
        one_hot(labels)


@pytest.mark.parametrize("labels", [3, [[0, 1], [1, 0]]])
def test_labels_of_another_rank_are_refused(labels):
    with pytest.raises(ValueError, match=r"labels must have shape \(N,\)"):
        one_hot(labels)


def test_labels_out_of_range_are_refused():
    with pytest.raises(ValueError, match="must be at least 0; got -1"):
        one_hot([0, -1])
    with pytest.raises(ValueError, match="must be below n_classes=3; got 3"):
        one_hot([0, 3], 3)


def test_wrong_number_of_classes_is_refused():
    with pytest.raises(TypeError, match="n_classes must be an integer"):
        one_hot([0], 2.0)
    with pytest.raises(ValueError, match="n_classes must be at least 1"):
        one_hot([0], 0)
