import numpy as np
import pytest

from fastnn.data import batch_slices, epoch_batches, epoch_order, split_indices


@pytest.mark.parametrize("merge_single", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 10, 100])
@pytest.mark.parametrize("n", [1, 2, 3, 20, 21, 22, 101])
def test_slices_cover_every_row_once_in_order(n, batch_size, merge_single):
    slices = batch_slices(n, batch_size, merge_single)
    rows = [row for part in slices for row in range(n)[part]]
    assert rows == list(range(n))
    sizes = [part.stop - part.start for part in slices]
    assert all(size == batch_size for size in sizes[:-1])
    if merge_single and n > 1:
        assert 1 <= sizes[-1] <= batch_size + 1
        assert sizes[-1] > 1
    else:
        assert 1 <= sizes[-1] <= batch_size


def test_last_batch():
    assert batch_slices(6, 3) == [slice(0, 3), slice(3, 6)]
    assert batch_slices(8, 3) == [slice(0, 3), slice(3, 6), slice(6, 8)]
    assert batch_slices(7, 3) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert batch_slices(7, 3, merge_single=True) == [slice(0, 3), slice(3, 7)]
    assert batch_slices(8, 3, merge_single=True) == batch_slices(8, 3)
    assert batch_slices(1, 3, merge_single=True) == [slice(0, 1)]
    assert batch_slices(np.int64(7), np.int32(3)) == batch_slices(7, 3)


def test_order_is_a_permutation_drawn_from_rng():
    order = epoch_order(1000, 0)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert not np.array_equal(order, np.arange(1000))
    np.testing.assert_array_equal(order, epoch_order(1000, np.random.default_rng(0)))
    assert not np.array_equal(order, epoch_order(1000, 1))


def test_a_generator_moves_on_and_a_seed_does_not():
    rng = np.random.default_rng(5)
    assert not np.array_equal(epoch_order(50, rng), epoch_order(50, rng))
    np.testing.assert_array_equal(epoch_order(50, 5), epoch_order(50, 5))


def test_without_shuffle_nothing_is_drawn():
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    order = epoch_order(4, rng, shuffle=False)
    np.testing.assert_array_equal(order, np.arange(4), strict=True)
    assert rng.bit_generator.state == state


def test_global_state_is_untouched():
    state = np.random.get_state()  # noqa: NPY002
    epoch_order(10)
    epoch_order(10, 3)
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(state[1], after[1])
    assert state[2:] == after[2:]


def test_epoch_batches_cut_the_order_at_the_slices():
    batches = epoch_batches(11, 5, 3, merge_single=True)
    assert [len(batch) for batch in batches] == [5, 6]
    np.testing.assert_array_equal(np.concatenate(batches), epoch_order(11, 3))
    plain = epoch_batches(11, 5, shuffle=False)
    assert [batch.tolist() for batch in plain] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10]]


@pytest.mark.parametrize("bad", [0, -1])
def test_counts_below_one_are_refused(bad):
    with pytest.raises(ValueError, match=f"n must be at least 1; got {bad}"):
        epoch_order(bad)
    with pytest.raises(ValueError, match="n must be at least 1"):
        batch_slices(bad, 10)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        batch_slices(10, bad)


@pytest.mark.parametrize("bad", [2.0, "3", None, True])
def test_counts_that_are_no_integers_are_refused(bad):
    with pytest.raises(TypeError, match="n must be an integer"):
        epoch_order(bad)
    with pytest.raises(TypeError, match="batch_size must be an integer"):
        batch_slices(10, bad)
    with pytest.raises(TypeError, match="batch_size must be an integer"):
        epoch_batches(10, bad)


@pytest.mark.parametrize(
    "source", [3, np.int64(3), np.random.SeedSequence(3), np.random.PCG64(3)], ids=repr
)
def test_the_order_may_come_from_any_seed(source):
    expected = epoch_order(20, np.random.default_rng(3))
    np.testing.assert_array_equal(epoch_order(20, source), expected)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [("3", TypeError, "rng must be"), (True, TypeError, "rng must be"),
     ([1, 2], TypeError, "rng must be"), (-1, ValueError, "rng must be at least 0; got -1")],
)  # fmt: skip
def test_what_is_no_source_of_random_numbers_is_refused(bad, error, message):
    with pytest.raises(error, match=message):
        epoch_order(20, bad)
    with pytest.raises(error, match=message):
        split_indices(20, 0.5, bad)
