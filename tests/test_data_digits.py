import sys

import numpy as np
import pytest

from fastnn.data import load_digits


def test_missing_scikit_learn_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"scikit-learn is not installed.*fastnn\[demo\]"):
        load_digits()


@pytest.fixture(scope="module")
def source():
    return pytest.importorskip("sklearn.datasets").load_digits()


def test_default_form(source):
    (x_train, t_train), (x_test, t_test) = load_digits()
    assert x_train.shape == (1438, 64)
    assert x_test.shape == (359, 64)
    for x, t in ((x_train, t_train), (x_test, t_test)):
        assert x.dtype == np.float32
        assert t.dtype == np.int64
        assert x.flags.c_contiguous
        assert len(x) == len(t)
        assert x.min() == 0
        assert x.max() == 1


def test_the_parts_are_the_source_with_its_labels(source):
    (x_train, t_train), (x_test, t_test) = load_digits()
    got = np.column_stack([np.concatenate([x_train, x_test]), np.concatenate([t_train, t_test])])
    expected = np.column_stack([source.data / 16, source.target])
    # Rows in lexicographic order: the same multiset, whatever the shuffle.
    np.testing.assert_array_equal(got[np.lexsort(got.T)], expected[np.lexsort(expected.T)])


def test_other_forms_hold_the_same_values(source):
    (x_train, t_train), _ = load_digits()
    (images, rows), _ = load_digits(normalize=False, flatten=False, one_hot_label=True)
    assert images.shape == (1438, 1, 8, 8)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images.reshape(-1, 64) / np.float32(16), x_train)
    assert rows.shape == (1438, 10)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows.argmax(axis=1), t_train)
    np.testing.assert_array_equal(rows.sum(axis=1), 1)


def test_split_is_stratified(source):
    (_, t_train), (_, t_test) = load_digits()
    whole = np.bincount(source.target)
    assert np.abs(np.bincount(t_test) - whole * 359 / 1797).max() < 1
    np.testing.assert_array_equal(np.bincount(t_train) + np.bincount(t_test), whole)


def test_split_follows_rng_and_share(source):
    first = load_digits()
    np.testing.assert_array_equal(first[1][0], load_digits(rng=np.random.default_rng(0))[1][0])
    assert not np.array_equal(first[1][0], load_digits(rng=1)[1][0])
    assert len(load_digits(test_share=0.5)[1][0]) == round(1797 * 0.5)
    with pytest.raises(ValueError, match=r"test_share must be a finite number in \(0, 1\)"):
        load_digits(test_share=0)
