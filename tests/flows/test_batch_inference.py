"""The inference job: every item scored once, and numbers that agree with the predictions file."""

import csv
import os
from collections import Counter

import batch_inference as job
import joblib
import numpy as np
import pytest
from prefect.exceptions import ParameterTypeError


def predictions(result):
    with open(result["predictions_path"], newline="") as file:
        return list(csv.DictReader(file))


def test_the_numbers_agree_with_the_predictions(trained, tmp_path, read_artifact):
    result = job.batch_inference(items=500, model_path=trained["model_path"], output_dir=str(tmp_path))

    rows = predictions(result)
    assert [int(row["item"]) for row in rows] == list(range(500))
    assert result["items"] == 500
    assert result["accuracy"] == sum(row["label"] == row["predicted"] for row in rows) / 500 > 0.9
    seen = Counter(row["predicted"] for row in rows)
    assert result["class_histogram"] == {str(digit): seen[str(digit)] for digit in range(10)}
    assert all(0.1 <= float(row["confidence"]) <= 1 for row in rows)
    assert result["items_per_second"] > 500 / result["seconds"]
    assert os.listdir(tmp_path) == ["predictions.csv"]

    progress = read_artifact("batch-inference")
    assert (progress["type"], progress["data"]) == ("progress", 100.0)


def test_the_model_given_is_the_model_used(trained, tmp_path):
    result = job.batch_inference(items=40, model_path=trained["model_path"], output_dir=str(tmp_path))
    model = joblib.load(trained["model_path"])
    images, _ = next(job.batches(40, 40, seed=7))
    assert [int(row["predicted"]) for row in predictions(result)] == model.predict(images).tolist()


def test_without_a_path_a_small_model_is_trained_and_the_log_says_so(tmp_path, caplog):
    result = job.batch_inference(items=300, output_dir=str(tmp_path))
    assert result["accuracy"] > 0.85
    assert "training a small linear model" in caplog.text


def test_the_items_do_not_depend_on_the_batch_size():
    def items(size):
        return [np.concatenate(part) for part in zip(*job.batches(100, size, seed=3), strict=True)]

    (images, labels), (same_images, same_labels) = items(7), items(100)
    assert len(labels) == 100
    assert np.array_equal(images, same_images)
    assert np.array_equal(labels, same_labels)
    assert len(np.unique(images, axis=0)) == 100


def test_a_missing_model_says_what_to_run_first(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no model at .*none\.joblib.*python flows/train_classifier\.py"
    ):
        job.batch_inference(model_path=str(tmp_path / "none.joblib"), output_dir=str(tmp_path))


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "noise.joblib").write_bytes(b"noise")
    with pytest.raises(ValueError, match="cannot be read as a model"):
        job.batch_inference(model_path=str(tmp_path / "noise.joblib"), output_dir=str(tmp_path))
    joblib.dump({"no": "model"}, tmp_path / "other.joblib")
    with pytest.raises(ValueError, match="holds no classifier"):
        job.batch_inference(model_path=str(tmp_path / "other.joblib"), output_dir=str(tmp_path))


@pytest.mark.parametrize(("name", "value"), [("items", 0), ("batch_size", 0), ("seed", -1)])
def test_bad_parameters_are_refused(tmp_path, name, value):
    with pytest.raises(ParameterTypeError, match=f"{name}: .*greater than or equal"):
        job.batch_inference(**{name: value}, output_dir=str(tmp_path))
