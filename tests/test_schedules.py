import itertools
import json
import math
import pickle

import numpy as np
import pytest

from fastnn.components import from_config
from fastnn.schedules import (
    SCHEDULES,
    Constant,
    CosineDecay,
    ExponentialDecay,
    Schedule,
    StepDecay,
    WarmUp,
    as_schedule,
)

EPOCHS = [0.0, 0.25, 1.0, 1.5, 9.999, 10.0, 19.5, 20.0, 1000.0]
EXAMPLES = [
    Constant(0.1),
    StepDecay(0.1, every=5, factor=0.5),
    ExponentialDecay(0.1, rate=0.9),
    CosineDecay(0.1, epochs=20, final=0.01),
    WarmUp(StepDecay(0.1), epochs=2, start=0.01),
    WarmUp(WarmUp(0.5), 3),
    CosineDecay(np.float32(0.5), epochs=np.int64(20)),
]


def test_there_is_an_example_of_every_schedule():
    assert {type(example) for example in EXAMPLES} == set(SCHEDULES.values())


@pytest.mark.parametrize("epoch", EPOCHS)
def test_constant(epoch):
    assert Constant(0.1)(epoch) == 0.1


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 0.4), (9.999, 0.4), (10, 0.2), (19.5, 0.2), (20, 0.1), (30.5, 0.05)],
)
def test_step_decay(epoch, expected):
    assert StepDecay(0.4, every=10, factor=0.5)(epoch) == pytest.approx(expected, rel=1e-15)


def test_step_decay_defaults_to_a_tenth_every_ten_epochs():
    schedule = StepDecay(1.0)
    assert [schedule(epoch) for epoch in (9.9, 10, 25)] == pytest.approx([1.0, 0.1, 0.01])


def test_steps_of_half_an_epoch():
    schedule = StepDecay(1.0, every=0.5, factor=0.5)
    assert [schedule(epoch) for epoch in (0, 0.49, 0.5, 1.0, 1.6)] == [1, 1, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("epoch", EPOCHS)
def test_exponential_decay(epoch):
    expected = 0.3 * math.exp(epoch * math.log(0.95))
    assert ExponentialDecay(0.3)(epoch) == pytest.approx(expected, rel=1e-12)


def test_cosine_decay_at_its_known_angles():
    schedule = CosineDecay(0.5, epochs=12, final=0.1)
    # cos(pi/3) = 1/2, cos(pi/2) = 0, cos(2 pi/3) = -1/2.
    expected = {0: 0.5, 4: 0.1 + 0.4 * 0.75, 6: 0.3, 8: 0.1 + 0.4 * 0.25}
    for epoch, lr in expected.items():
        assert schedule(epoch) == pytest.approx(lr, rel=1e-14)
    for epoch in (12, 12.1, 1e6):
        assert schedule(epoch) == 0.1
    rates = [schedule(epoch) for epoch in np.linspace(0, 12, 100)]
    assert all(before > after for before, after in itertools.pairwise(rates))


def test_cosine_decay_ends_at_zero_by_default():
    assert CosineDecay(0.5, 10)(10) == 0.0
    assert CosineDecay(0.5, 10)(9.99) > 0.0


def test_warm_up_is_a_line_to_a_constant():
    schedule = WarmUp(0.8, epochs=2, start=0.4)
    assert [schedule(epoch) for epoch in (0, 0.5, 1, 2, 7)] == pytest.approx(
        [0.4, 0.5, 0.6, 0.8, 0.8], rel=1e-15
    )
    assert WarmUp(0.8)(0) == 0.0


def test_warm_up_meets_its_schedule_and_does_not_shift_it():
    wrapped = CosineDecay(0.5, epochs=20)
    schedule = WarmUp(wrapped, epochs=4)
    assert schedule(2) == pytest.approx(wrapped(4) / 2, rel=1e-15)
    assert schedule(math.nextafter(4, 0)) == pytest.approx(wrapped(4), rel=1e-12)
    for epoch in (4, 5.5, 19, 20, 21):
        assert schedule(epoch) == wrapped(epoch)


def test_warm_up_of_a_function():
    schedule = WarmUp(lambda epoch: 10 - epoch, epochs=2)
    assert [schedule(epoch) for epoch in (0, 1, 2, 3)] == [0, 4, 8, 7]


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_every_schedule_returns_a_python_float(schedule):
    assert all(type(schedule(epoch)) is float for epoch in EPOCHS)


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_config_is_json_and_makes_an_equal_schedule(schedule):
    again = from_config(json.loads(json.dumps(schedule.config())), SCHEDULES, "schedule")
    assert again.config() == schedule.config()
    assert [again(epoch) for epoch in EPOCHS] == [schedule(epoch) for epoch in EPOCHS]


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_schedules_can_be_pickled_and_their_repr_is_their_call(schedule):
    for again in (pickle.loads(pickle.dumps(schedule)), eval(repr(schedule))):
        assert type(again) is type(schedule)
        assert again.config() == schedule.config()


def test_a_number_becomes_a_constant():
    for number in (0.1, 1, np.float32(0.5), np.int64(2)):
        schedule = as_schedule(number)
        assert type(schedule) is Constant
        assert schedule(3.5) == number


def test_functions_and_schedules_are_taken_as_they_are():
    schedule = StepDecay(0.1)
    assert as_schedule(schedule) is schedule
    assert as_schedule(math.exp) is math.exp


@pytest.mark.parametrize("lr", ["0.1", None, True, [0.1], {"kind": "constant"}, 1j])
def test_what_is_no_learning_rate_is_a_type_error(lr):
    with pytest.raises(TypeError, match="lr must be a number, a Schedule or a function"):
        as_schedule(lr)
    with pytest.raises(TypeError, match="schedule must be a number, a Schedule or a function"):
        WarmUp(lr)


def test_a_class_is_not_a_schedule():
    with pytest.raises(TypeError, match=r"write CosineDecay\(\.\.\.\)"):
        as_schedule(CosineDecay)


def test_the_base_class_has_no_formula():
    with pytest.raises(NotImplementedError):
        Schedule()(0.0)


@pytest.mark.parametrize("lr", [0, -0.1, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "make",
    [Constant, StepDecay, ExponentialDecay, lambda lr: CosineDecay(lr, 10), WarmUp, as_schedule],
)
def test_a_learning_rate_must_be_positive_and_finite(make, lr):
    with pytest.raises(ValueError, match="schedule must be" if make is WarmUp else "lr must be"):
        make(lr)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepDecay(0.1, every=0), r"every must be a finite number in \(0, inf\); got 0"),
        (lambda: StepDecay(0.1, every=-1), "every must be"),
        (lambda: StepDecay(0.1, every=math.nan), "every must be a finite number"),
        (lambda: StepDecay(0.1, factor=0), r"factor must be a finite number in \(0, 1\]; got 0"),
        (lambda: StepDecay(0.1, factor=1.5), "factor must be"),
        (lambda: ExponentialDecay(0.1, rate=0.0), "rate must be"),
        (lambda: ExponentialDecay(0.1, rate=1.01), "rate must be"),
        (lambda: ExponentialDecay(0.1, rate=math.inf), "rate must be a finite number"),
        (lambda: CosineDecay(0.1, epochs=0), "epochs must be"),
        (lambda: CosineDecay(0.1, epochs=math.inf), "epochs must be a finite number"),
        (lambda: CosineDecay(0.1, 10, final=-0.01), "final must be a finite number in"),
        (lambda: CosineDecay(0.1, 10, final=0.2), "final must be a finite number in"),
        (lambda: WarmUp(0.1, epochs=0), "epochs must be"),
        (lambda: WarmUp(0.1, start=-0.1), "start must be a finite number in"),
        (lambda: WarmUp(0.1, start=math.nan), "start must be a finite number"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: StepDecay("0.1"), "lr"),
        (lambda: StepDecay(0.1, every="10"), "every"),
        (lambda: StepDecay(0.1, factor=None), "factor"),
        (lambda: CosineDecay(0.1, epochs=True), "epochs"),
        (lambda: WarmUp(0.1, start=[0]), "start"),
    ],
)
def test_arguments_that_are_no_numbers_are_refused(make, name):
    with pytest.raises(TypeError, match=f"{name} must be a number"):
        make()
