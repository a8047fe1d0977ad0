import dataclasses
import math
import re

import numpy as np
import pytest
from tables import csv_bytes

import fastnn as fnn
from fastnn import storage
from fastnn.tables import ColumnFact, Settings, TableError
from fastnn.tables.judge import judge_classes, judge_constant, judge_numbers
from fastnn.tables.text import report

pd = pytest.importorskip("pandas", reason="tables are pandas': extra table")
datasets = pytest.importorskip("sklearn.datasets", reason="metrics are scikit-learn's")


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(csv_bytes(drop=["amount"]))
    return path


@pytest.fixture
def trained(data):
    return fnn.tables.train(data, "answer", epochs=30)


# -- the outcome -----------------------------------------------------------------------------------


def test_a_table_as_people_have_them(trained):
    outcome = trained.outcome
    assert (outcome.source, outcome.target, outcome.task) == (
        "data.csv",
        "answer",
        "classification",
    )
    assert outcome.classes == ("no", "yes")
    kinds = {fact.name: fact.kind for fact in outcome.columns}
    assert kinds == {
        "id": "dropped", "age": "numeric", "income": "numeric", "city": "categorical",
        "note": "dropped", "day": "dropped", "flat": "dropped",
    }  # fmt: skip
    assert all(isinstance(fact, ColumnFact) for fact in outcome.columns)
    assert outcome.rows == {"train": 280, "validation": 60, "test": 60, "dropped": 0}
    assert outcome.metrics["test"]["accuracy"] > 0.8 > outcome.metrics["baseline"]["accuracy"]
    assert outcome.proba.shape == (60, 2)
    np.testing.assert_array_equal(outcome.y_pred, outcome.proba.argmax(axis=1))
    assert outcome.metrics["test"]["accuracy"] == np.mean(outcome.y_pred == outcome.y_true)
    assert len(outcome.history.epochs) <= 30
    assert f"{100 * outcome.metrics['test']['accuracy']:.1f} %" in outcome.sentence
    assert all(isinstance(value, str) for value in outcome.settings.values())
    assert any("Only 60 rows judge" in words for words in outcome.warnings)


def test_numbers_are_predicted_on_their_own_scale(data):
    data.write_bytes(csv_bytes(drop=["answer"], separator=";"))
    trained = fnn.tables.train(data, "amount")
    outcome = trained.outcome
    assert (outcome.task, outcome.classes, outcome.proba) == ("regression", None, None)
    assert outcome.metrics["test"]["R2"] > 0.7
    expected = judge_numbers(outcome.y_pred, outcome.y_true)
    assert outcome.metrics["test"] == expected
    # The model's own mean is that of the training rows.
    constant = np.full(len(outcome.y_true), trained.model.target.mean)
    assert outcome.metrics["baseline"] == judge_numbers(constant, outcome.y_true)
    assert "Its columns are separated by semicolons." in outcome.warnings


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_defaults_give_sound_classifiers(name, tmp_path):
    """As good as logistic regression, within the noise of the few rows that judge."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame.to_csv(tmp_path / "a.csv", index=False)
    ours = [
        fnn.tables.train(tmp_path / "a.csv", "target", seed=seed).outcome.metrics["test"]
        for seed in range(3)
    ]
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    x, y = frame.drop(columns="target"), frame["target"]
    order = np.random.default_rng(0).permutation(len(x))
    kept, held = order[len(x) // 4 :], order[: len(x) // 4]
    theirs = linear.fit(x.iloc[kept], y.iloc[kept]).score(x.iloc[held], y.iloc[held])
    assert np.mean([metrics["accuracy"] for metrics in ours]) > theirs - 0.04


def test_defaults_give_sound_regressors(tmp_path):
    frame = datasets.load_diabetes(as_frame=True).frame
    scores = [
        fnn.tables.train(frame, "target", seed=seed).outcome.metrics["test"]["R2"]
        for seed in range(3)
    ]
    assert np.mean(scores) > 0.35  # linear models reach 0.45


def test_the_same_seed_gives_the_same_model(data, trained):
    again = fnn.tables.train(data, "answer", epochs=30)
    np.testing.assert_array_equal(again.outcome.proba, trained.outcome.proba)
    other = fnn.tables.train(data, "answer", epochs=30, seed=1)
    assert not np.array_equal(other.outcome.y_true, trained.outcome.y_true)


def test_nothing_is_learned_from_rows_that_judge(data):
    """Other values in the test rows change no column, no scale and no weight."""
    frame = fnn.tables.read(data)
    model = fnn.tables.train(frame, "answer", epochs=2).model
    test = fnn.data.split_indices(
        len(frame), 0.15, np.random.default_rng(0), labels=(frame["answer"] == "yes").astype(int)
    )[1]
    frame.loc[test, "age"] = 1e6
    frame.loc[test, "city"] = "elsewhere"
    other = fnn.tables.train(frame, "answer", epochs=2).model
    assert other.columns.columns == model.columns.columns
    np.testing.assert_array_equal(other.network.flat_params, model.network.flat_params)


def test_classes_are_as_frequent_in_every_part():
    frame = pd.DataFrame({"a": np.arange(200) % 17, "t": ["a"] * 180 + ["b"] * 20})
    outcome = fnn.tables.train(frame, "t", epochs=1).outcome
    assert outcome.rows == {"train": 140, "validation": 30, "test": 30, "dropped": 0}
    assert np.bincount(outcome.y_true).tolist() == [27, 3]


def test_rows_without_a_target_are_left_out_and_counted():
    frame = pd.DataFrame({"a": np.arange(60) % 17, "t": ["a", "b", "c"] * 20})
    frame.loc[:4, "t"] = None
    frame.loc[5, "t"] = "  "
    outcome = fnn.tables.train(frame, "t", epochs=1).outcome
    assert outcome.rows["dropped"] == 6
    assert sum(outcome.rows.values()) == 60
    assert outcome.classes == ("a", "b", "c")
    assert "6 rows were left out: the target is missing." in outcome.warnings


def test_rows_of_classes_too_rare_are_left_out_and_told():
    """Of 60 rows 3 are typing errors, and 6 have no target."""
    frame = pd.DataFrame({"a": np.arange(60) % 17, "t": ["a", "b", "c"] * 20})
    frame.loc[:5, "t"] = None
    frame.loc[6:7, "t"], frame.loc[8, "t"] = "A", "bb"
    trained = fnn.tables.train(frame, "t", epochs=1)
    outcome = trained.outcome
    assert outcome.classes == trained.model.classes == ("a", "b", "c")
    assert outcome.rows["dropped"] == 9
    assert sum(outcome.rows.values()) == 60
    assert (
        "3 rows were left out: their classes (A, bb) have less than 3 rows, and the model will "
        "never answer them." in outcome.warnings
    )
    assert "6 rows were left out: the target is missing." in outcome.warnings
    assert "; 9 left out" in report(outcome)
    assert sorted(np.bincount(outcome.y_true)) == [2, 3, 3]
    # What was left out changes nothing else.
    clean = fnn.tables.train(frame[9:], "t", epochs=1)
    np.testing.assert_array_equal(
        trained.model.network.flat_params, clean.model.network.flat_params
    )


def test_one_row_of_a_rare_class():
    frame = pd.DataFrame({"a": np.arange(60) % 17, "t": ["a", "b"] * 30})
    frame.loc[0, "t"] = "A"
    warnings = fnn.tables.train(frame, "t", epochs=1).outcome.warnings
    assert any(text.startswith("1 row was left out: its class (A) has less") for text in warnings)


def test_the_settings_are_used():
    frame = pd.DataFrame({"a": np.arange(60) % 17, "b": 1.0 * (np.arange(60) % 5)})
    frame["t"] = ["a", "b", "c"] * 20
    trained = fnn.tables.train(
        frame, "t", hidden=[7, 5], batch_norm=True, dropout=0.3, lr=0.01, batch_size=9, epochs=2,
        validation_share=0.2, test_share=0.3, threads=1, backend="numpy", drop=["b"],
        weight_decay=0.0, seed=3,
    )  # fmt: skip
    network, settings = trained.model.network, trained.outcome.settings
    kinds = ["affine", "batchnorm", "relu", "dropout"]
    assert [layer.kind for layer in network.layers] == [*kinds, *kinds, "affine"]
    assert [layer.n_out for layer in network.layers][::4] == [7, 5, 3]
    assert network.backend.name == "numpy"
    assert trained.model.columns.names == ["a"]
    assert trained.outcome.rows == {"train": 30, "validation": 12, "test": 18, "dropped": 0}
    assert settings["network"] == "1-7-5-3, ReLU, BatchNorm, dropout 0.3"
    assert settings["batch size"] == "9"
    assert settings["epochs"].startswith("2 of at most 2")


def test_a_network_without_hidden_layers_has_no_batch_norm(data):
    outcome = fnn.tables.train(data, "answer", hidden=(), batch_norm=True, epochs=2).outcome
    assert re.fullmatch(r"\d+-2", outcome.settings["network"])


def test_small_and_large_tables_get_batches_and_epochs_of_their_own():
    small, large = (
        (Settings().batch_size_for(rows), Settings().epochs_for(rows)) for rows in (100, 70_000)
    )
    assert small == (16, 400)
    assert large == (256, 146)
    chosen = Settings(batch_size=5, epochs=7)
    assert (chosen.batch_size_for(100), chosen.epochs_for(100)) == (5, 7)


def test_a_model_without_use_is_called_so():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=300), "t": rng.choice(["a", "b"], 300, p=[0.9, 0.1])}
    )
    warnings = " ".join(fnn.tables.train(frame, "t", epochs=3).outcome.warnings)
    assert "no better than always giving the same answer" in warnings
    assert "Training ended with the last epoch" in warnings


@pytest.mark.parametrize(
    ("target", "copy", "own"),
    [
        (["a", "b", "c"] * 30, ["x", "y", "z"] * 30, ["x", "y", "z", "x", "y", "y"] * 15),
        ([0, 1] * 45, [0.0, 7.5] * 45, [0.0, 7.5, 1.0] * 30),
        (np.arange(90) / 7, np.round(np.arange(90) * 3.3, 2), np.arange(90) ** 1.1),
    ],
)
def test_a_column_that_is_the_target_is_doubted(target, copy, own):
    frame = pd.DataFrame({"t": target, "copy": copy, "own": own})
    said = "Column {!r} alone tells the target without fail: unless it is known when you predict"
    warnings = " ".join(fnn.tables.train(frame, "t", epochs=3).outcome.warnings)
    assert said.format("copy") in warnings
    assert said.format("own") not in warnings
    frame.loc[:20, "copy"] = None
    warnings = " ".join(fnn.tables.train(frame, "t", epochs=3).outcome.warnings)
    assert "without fail" not in warnings


# -- what is refused -------------------------------------------------------------------------------


def bad(**columns):
    frame = pd.DataFrame({"a": np.arange(60) % 17, "t": ["a", "b", "c"] * 20})
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (bad().rename(columns={"t": "T"}), r"the table has no column 't'; did you mean 'T'\?"),
        (bad(t=None), "the target 't' is missing in every row"),
        (bad().head(19), "too few rows with a target: 19; at least 20"),
        (bad(t="a"), "single class"),
        (bad()[["t"]], "no column to learn from"),
        (bad().rename(columns={"a": "t2"}).rename(columns={"t2": "t"}), "two columns called 't'"),
        (bad().head(0), "has no rows"),
        (bad(t=[1e300, -1e300] + [0.5] * 58), "numbers too large to be scaled"),
    ],
)
def test_bad_tables(frame, message):
    with pytest.raises(TableError, match=message):
        fnn.tables.train(frame, "t", epochs=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "ranking"}, "task must be one of classification, regression; got 'ranking'"),
        ({"hidden": 3}, "hidden must be a sequence"),
        ({"hidden": [0]}, "hidden must be at least 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 2.5}, "batch_size must be an integer"),
        ({"lr": 0}, "lr must be"),
        ({"lr": math.nan}, "lr must be a finite number"),
        ({"dropout": 1}, r"dropout must be a finite number in \[0, 1\)"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"test_share": 0}, "test_share must be"),
        ({"test_share": 0.5, "validation_share": 0.5}, "must leave rows to train on"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"backend": "cuda"}, "backend must be one of"),
        ({"drop": "a"}, "drop must be a sequence"),
        ({"epoch": 3}, "epoch"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fnn.tables.train(bad(), "t", **settings)


def test_columns_are_given_by_name():
    """Also those of a data frame that has numbers for labels, as one made of an array has."""
    frame = pd.DataFrame({0: [0.5, 2.5, 1.5] * 20, 1: ["no", "yes"] * 30})
    for target, drop in ((1, ()), ("1", [0]), (None, ())):
        with pytest.raises(TypeError, match="must be given by name, such as "):
            fnn.tables.train(frame, target, drop=drop, epochs=1)
    assert fnn.tables.train(frame, "1", epochs=1).outcome.classes == ("no", "yes")


def test_shares_that_leave_a_part_or_a_class_without_rows():
    with pytest.raises(TableError, match="60 rows cannot be split so"):
        fnn.tables.train(bad(), "t", test_share=0.001)
    frame = bad(t=["a"] * 57 + ["b"] * 3)
    with pytest.raises(TableError, match="no rows to train on of b"):
        fnn.tables.train(frame, "t", test_share=0.45, validation_share=0.45)


# -- metrics ---------------------------------------------------------------------------------------


def test_metrics_of_classes_are_scikit_learns():
    from sklearn import metrics

    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    proba = rng.dirichlet([1, 1, 1], size=200).astype(np.float32)
    found = judge_classes(proba, y)
    answers = proba.argmax(axis=1)
    assert found["accuracy"] == metrics.accuracy_score(y, answers)
    assert found["balanced accuracy"] == pytest.approx(metrics.balanced_accuracy_score(y, answers))
    assert found["log loss"] == pytest.approx(-np.log(proba[np.arange(200), y]).mean(), rel=1e-5)
    areas = [metrics.roc_auc_score(y == label, proba[:, label]) for label in range(3)]
    assert found["ROC AUC"] == pytest.approx(np.mean(areas))
    two = judge_classes(proba[:, :2] / proba[:, :2].sum(axis=1, keepdims=True), y % 2)
    assert 0.3 < two["ROC AUC"] < 0.7
    assert math.isnan(judge_classes(proba, np.zeros(200, int))["ROC AUC"])


def test_the_baseline_is_learned_from_the_training_rows():
    found = judge_constant(np.array([0, 0, 1]), np.array([0, 1, 1, 1]), 2)
    assert found["accuracy"] == 0.25
    assert found["ROC AUC"] == 0.5
    assert judge_constant(np.array([1.0, 3.0]), np.array([2.0, 4.0]), 0)["MAE"] == 1.0


# -- models and files ------------------------------------------------------------------------------


def test_predictions_are_those_that_were_judged(data, trained):
    frame = fnn.tables.read(data)
    proba = trained.model.predict_proba(frame)
    assert proba.shape == (len(frame), 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    names = trained.model.predict(data)
    assert set(names) == {"no", "yes"}
    right = np.mean(names == frame["answer"])
    parts = trained.outcome
    expected = sum(
        parts.metrics[p]["accuracy"] * parts.rows[p] for p in ("train", "validation", "test")
    )
    assert right * len(frame) == pytest.approx(expected)


def test_rows_and_columns_in_any_order(data, trained):
    frame = fnn.tables.read(data)
    expected = trained.model.predict_proba(frame)
    other = frame.iloc[::-1][["city", "income", "age"]].assign(more=3)
    np.testing.assert_allclose(trained.model.predict_proba(other), expected[::-1], rtol=1e-5)


@pytest.mark.parametrize("target", ["answer", "amount"])
def test_files_give_the_same_model(data, tmp_path, target):
    data.write_bytes(csv_bytes(drop=[{"answer": "amount", "amount": "answer"}[target]]))
    model = fnn.tables.train(data, target, epochs=2, batch_norm=True).model
    model.save(tmp_path / "a.fnn")
    again = fnn.tables.load(tmp_path / "a.fnn")
    np.testing.assert_array_equal(again.predict(data), model.predict(data))
    assert again.columns.columns == model.columns.columns
    assert again.target == model.target
    assert repr(again) == repr(model)
    again.save(tmp_path / "b.fnn")
    assert (tmp_path / "a.fnn").read_bytes() == (tmp_path / "b.fnn").read_bytes()


def test_probabilities_need_classes(data):
    data.write_bytes(csv_bytes(drop=["answer"]))
    model = fnn.tables.train(data, "amount", epochs=1).model
    with pytest.raises(ValueError, match="predict_proba needs classes; 'amount' is a number"):
        model.predict_proba(data)


def test_networks_and_models_of_tables_are_told_apart(trained, tmp_path):
    trained.model.save(tmp_path / "table.fnn")
    with pytest.raises(fnn.CorruptFileError, match=r"of a table, which fastnn\.tables\.load"):
        fnn.load(tmp_path / "table.fnn")
    trained.model.network.save(tmp_path / "network.fnn")
    with pytest.raises(TableError, match=r"network alone, .*: fastnn\.load"):
        fnn.tables.load(tmp_path / "network.fnn")
    storage.write_file(tmp_path / "other.fnn", {}, {"model": "tree"})
    with pytest.raises(fnn.CorruptFileError, match="unknown model 'tree'"):
        fnn.tables.load(tmp_path / "other.fnn")


@pytest.mark.parametrize(
    "forge",
    [
        lambda arrays, text: text.pop("columns"),
        lambda arrays, text: text.update(decimal_commas="yes"),
        lambda arrays, text: text.pop("network"),
        lambda arrays, text: text.update(network=3),
        lambda arrays, text: text["network"].update(input_shape=[2**40]),
        lambda arrays, text: text["network"].update(layers=[]),
        lambda arrays, text: text["columns"].pop(),
        lambda arrays, text: text["target"]["classes"].append("maybe"),
        lambda arrays, text: text.update(target=[]),
        lambda arrays, text: arrays.update(more=np.zeros(3)),
        lambda arrays, text: arrays.update({"network.more": np.zeros(3, np.float32)}),
        lambda arrays, text: arrays.pop("network.affine1.w"),
    ],
)
def test_forged_files_are_refused(trained, tmp_path, forge):
    path = tmp_path / "a.fnn"
    trained.model.save(path)
    arrays, text = storage.read_file(path)
    forge(arrays, text)
    storage.write_file(path, arrays, text)
    with pytest.raises(fnn.CorruptFileError, match="is not a model of a table"):
        fnn.tables.load(path)


def test_damaged_files_are_refused(trained, tmp_path):
    path = tmp_path / "a.fnn"
    trained.model.save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(fnn.CorruptFileError):
        fnn.tables.load(path)


def test_a_model_must_fit_its_columns(trained):
    model = trained.model
    with pytest.raises(ValueError, match="the network takes 3 features"):
        type(model)(fnn.mlp(3, [], 2), model.columns, model.target)
    wide = fnn.mlp(len(model.columns.features), [], 3)
    with pytest.raises(ValueError, match="gives 3 numbers, its target has 2"):
        type(model)(wide, model.columns, model.target)


# -- search ----------------------------------------------------------------------------------------


def test_search_trains_with_the_best_of_its_trials(data):
    pytest.importorskip("joblib", reason="trials run through joblib: extra table")
    found = fnn.tables.search(data, "answer", 6, epochs=8)
    assert len(found.search.trials) == 6
    assert found.outcome.settings["search"].startswith("the best of 6 trials")
    best = min(found.search.trials, key=lambda trial: trial.score).params
    settings = found.outcome.settings
    assert settings["learning rate"] == f"{best['lr']:.3g}"
    assert f"-{best['hidden'].replace(',', '-')}-2" in settings["network"]
    assert ("BatchNorm" in settings["network"]) == best["batch_norm"]
    assert found.outcome.metrics["test"]["accuracy"] > 0.7


def test_search_refuses_what_it_searches_for(data):
    with pytest.raises(TypeError, match="lr is searched for"):
        fnn.tables.search(data, "answer", lr=0.1)
    with pytest.raises(ValueError, match="trials must be at least 2; got 0"):
        fnn.tables.search(data, "answer", trials=0)
    with pytest.raises(ValueError, match="trials must be at least 2; got 1"):
        fnn.tables.search(data, "answer", 1)


def test_an_outcome_cannot_be_changed(trained):
    with pytest.raises(dataclasses.FrozenInstanceError):
        trained.outcome.target = "other"


def test_a_model_remembers_decimal_commas(tmp_path):
    """A file to predict from need not show which sign is which."""
    rng = np.random.default_rng(0)
    prices = [f"{n // 1000}.{n % 1000:03},{n % 10}0" for n in rng.integers(1000, 9999, 60)]
    rows = "".join(f"{p};{'dear' if p > '5' else 'cheap'}\n" for p in prices)
    (tmp_path / "train.csv").write_text(f"price;kind\n{rows}")
    trained = fnn.tables.train(tmp_path / "train.csv", "kind", epochs=2)
    trained.model.save(tmp_path / "model.fnn")
    (tmp_path / "new.csv").write_text("price\n1.234\n")
    for model in (trained.model, fnn.tables.load(tmp_path / "model.fnn")):
        assert model.read(tmp_path / "new.csv").frame["price"].tolist() == [1234]
    plain = fnn.tables.read(tmp_path / "new.csv")
    assert plain["price"].tolist() == [1.234]
