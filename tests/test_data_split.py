import numpy as np
import pytest

from fastnn.data import k_fold, one_hot, split_indices, train_validation_split


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize(("n", "share"), [(2, 0.5), (10, 0.1), (101, 0.25), (1000, 0.999)])
def test_indices_are_a_permutation_cut_at_the_share(n, share, stratified):
    labels = np.random.default_rng(1).integers(0, 3, n) if stratified else None
    kept, held = split_indices(n, share, 0, labels=labels)
    assert len(held) == round(n * share)
    assert kept.dtype == held.dtype == np.int64
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(n))


@pytest.mark.parametrize("labels", [None, np.arange(400) // 100])
def test_split_is_shuffled_and_follows_rng(labels):
    kept, held = split_indices(400, 0.2, 7, labels=labels)
    assert not np.array_equal(kept, np.sort(kept))
    assert not np.array_equal(held, np.sort(held))
    again = split_indices(400, 0.2, np.random.default_rng(7), labels=labels)
    np.testing.assert_array_equal(kept, again[0])
    np.testing.assert_array_equal(held, again[1])
    other = split_indices(400, 0.2, 8, labels=labels)
    assert not np.array_equal(np.sort(held), np.sort(other[1]))


def test_stratified_counts_are_within_one_of_their_share():
    rng = np.random.default_rng(3)
    for seed in range(20):
        counts = rng.integers(1, 40, 6)
        # Labels need not be 0, 1, 2, ...
        labels = rng.permutation(np.repeat([-4, 0, 1, 7, 50, 1000], counts))
        share = rng.uniform(0.1, 0.9)
        kept, held = split_indices(len(labels), share, seed, labels=labels)
        assert len(held) == round(len(labels) * share)
        for label, count in zip([-4, 0, 1, 7, 50, 1000], counts, strict=True):
            exact = count * len(held) / len(labels)
            assert abs(np.count_nonzero(labels[held] == label) - exact) < 1
        assert not set(kept.tolist()) & set(held.tolist())


def test_stratified_split_by_hand():
    # 4 of 10 rows; classes of 5, 3 and 2 rows are due 2.0, 1.2 and 0.8: so 2, 1 and 1.
    labels = np.array(list("aaaaabbbcc"))
    _, held = split_indices(10, 0.4, 0, labels=labels)
    assert sorted(labels[held]) == ["a", "a", "b", "c"]


def test_every_row_can_be_held_out():
    seen = np.zeros(10, bool)
    for seed in range(40):
        seen[split_indices(10, 0.2, seed, labels=[0] * 5 + [1] * 5)[1]] = True
    assert seen.all()


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_share_outside_zero_and_one_is_refused(share):
    with pytest.raises(ValueError, match=r"share must be a finite number in \(0, 1\)"):
        split_indices(10, share)


@pytest.mark.parametrize("share", ["0.2", None, [0.5], True])
def test_share_that_is_no_number_is_refused(share):
    with pytest.raises(TypeError, match="share must be a number"):
        split_indices(10, share)


@pytest.mark.parametrize(("n", "share"), [(1, 0.5), (10, 0.01), (10, 0.99)])
def test_an_empty_part_is_refused(n, share):
    with pytest.raises(ValueError, match="both parts need at least one row"):
        split_indices(n, share)


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"labels must have shape \(10,\); got \(9,\)"):
        split_indices(10, 0.5, labels=np.zeros(9, int))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    t = np.repeat([0, 1], [80, 20])
    return np.arange(300.0).reshape(100, 3), t, rng.random(100)


def test_arrays_are_split_together(data):
    x, t, weight = data
    train, held = train_validation_split(x, t, 0.2, rng=0, sample_weight=weight)
    assert [len(part) for part in (*train, *held)] == [80] * 3 + [20] * 3
    for part_x, part_t, part_weight in (train, held):
        rows = (part_x[:, 0] / 3).astype(int)
        np.testing.assert_array_equal(part_x, x[rows])
        np.testing.assert_array_equal(part_t, t[rows])
        np.testing.assert_array_equal(part_weight, weight[rows])
    kept, out = split_indices(100, 0.2, 0)
    np.testing.assert_array_equal(train[0], x[kept])
    np.testing.assert_array_equal(held[0], x[out])
    assert not np.shares_memory(train[0], x)


def test_default_is_a_tenth_without_weights(data):
    x, t, _ = data
    train, held = train_validation_split(x.tolist(), t.tolist(), rng=0)
    assert (len(train), len(held)) == (2, 2)
    assert held[0].shape == (10, 3)
    assert held[1].shape == (10,)


def test_stratified_arrays(data):
    x, t, _ = data
    for targets in (t, one_hot(t)):
        _, (_, held) = train_validation_split(x, targets, 0.1, rng=0, stratify=True)
        classes = held if held.ndim == 1 else held.argmax(axis=1)
        assert np.bincount(classes).tolist() == [8, 2]


def test_stratify_needs_classes(data):
    x, t, _ = data
    for targets in (t.astype(float), t[:, None].astype(float), np.zeros((100, 2, 2))):
        with pytest.raises(ValueError, match="stratify=True needs t"):
            train_validation_split(x, targets, stratify=True)


def test_lengths_must_match(data):
    x, t, weight = data
    with pytest.raises(ValueError, match="t has 99 rows and x has 100"):
        train_validation_split(x, t[:-1])
    with pytest.raises(ValueError, match="sample_weight has 99 rows"):
        train_validation_split(x, t, sample_weight=weight[1:])
    with pytest.raises(ValueError, match="t must have a row for each sample"):
        train_validation_split(x, 3)
    with pytest.raises(ValueError, match="x must have at least one row"):
        train_validation_split(x[:0], t[:0])


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize(("n", "folds"), [(2, 2), (10, 3), (101, 7), (6, 6)])
def test_folds_hold_out_each_row_once(n, folds, stratified):
    labels = np.random.default_rng(1).integers(0, 3, n) if stratified else None
    parts = k_fold(n, folds, 0, labels=labels)
    assert len(parts) == folds
    for kept, held in parts:
        np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(n))
    sizes = [len(held) for _, held in parts]
    assert max(sizes) - min(sizes) <= 1
    np.testing.assert_array_equal(
        np.sort(np.concatenate([held for _, held in parts])), np.arange(n)
    )


def test_folds_are_shuffled_follow_rng_and_share_the_classes():
    labels = np.repeat([5, 7, 9], [11, 30, 3])
    parts = k_fold(44, 4, 3, labels=labels)
    for label in (5, 7, 9):
        counts = [np.count_nonzero(labels[held] == label) for _, held in parts]
        assert max(counts) - min(counts) <= 1
    assert not np.array_equal(np.sort(parts[0][1]), np.sort(k_fold(44, 4, 4, labels=labels)[0][1]))
    np.testing.assert_array_equal(parts[0][1], k_fold(44, 4, 3, labels=labels)[0][1])
    assert not np.array_equal(k_fold(44, 4, 3)[0][1], np.arange(0, 44, 4))


@pytest.mark.parametrize("folds", [0, 1, 11])
def test_wrong_numbers_of_folds_are_refused(folds):
    with pytest.raises(ValueError, match="folds must be"):
        k_fold(10, folds)
    with pytest.raises(ValueError, match="labels must have shape"):
        k_fold(10, 2, labels=[1, 2])
