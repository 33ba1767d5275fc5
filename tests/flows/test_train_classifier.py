"""The training job: real metrics, and the same weights however often it is killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
import train_classifier as job
from prefect.exceptions import ParameterTypeError
from prefect.settings import PREFECT_API_URL
from sklearn.datasets import load_digits

SETTINGS = {"batch_size": 64, "learning_rate": 0.05, "seed": 7}
CHECKPOINT = f"checkpoint-{job.fingerprint(SETTINGS)}.joblib"


def weights(metrics):
    model = joblib.load(metrics["model_path"])
    return b"".join(layer.tobytes() for layer in [*model.coefs_, *model.intercepts_])


def test_the_metrics_are_those_of_the_saved_model(trained):
    model = joblib.load(trained["model_path"])
    _, images, _, labels = job.load_data.fn()
    assert trained["accuracy"] == (model.predict(images) == labels).mean() > 0.93
    assert trained["epochs_run"] == len(trained["loss_per_epoch"]) == len(model.loss_curve_) == 5
    assert trained["loss_per_epoch"] == sorted(trained["loss_per_epoch"], reverse=True)
    assert trained["resumed_from"] == 0
    assert json.loads(Path(trained["model_path"]).with_suffix(".json").read_text()) == trained
    assert sorted(os.listdir(Path(trained["model_path"]).parent)) == ["classifier.joblib", "classifier.json"]


def test_held_out_images_are_not_trained_on():
    train_images, test_images, *_ = job.load_data.fn()
    assert len(train_images) + len(test_images) == len(load_digits().data)
    assert not {image.tobytes() for image in train_images} & {image.tobytes() for image in test_images}


KILLED_WITHIN_THE_THIRD_CHECKPOINT = """
import os, sys, joblib, train_classifier
whole = joblib.dump
def dump(thing, path, **options):
    whole(thing, path, **options)
    if thing["epoch"] == 3:
        os.truncate(path, 1000)
        os._exit(9)
joblib.dump = dump
train_classifier.train_classifier(output_dir=sys.argv[1])
"""


def test_a_killed_training_goes_on_to_the_same_weights(trained, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WITHIN_THE_THIRD_CHECKPOINT, str(tmp_path)],
        cwd=Path(job.__file__).parent,
        env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value()},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == 9, killed.stderr.decode()
    assert (tmp_path / CHECKPOINT).exists()
    assert not (tmp_path / "classifier.joblib").exists()

    metrics = job.train_classifier(output_dir=str(tmp_path))

    assert (metrics["resumed_from"], metrics["epochs_run"]) == (2, 3)
    assert weights(metrics) == weights(trained)
    assert metrics["loss_per_epoch"] == trained["loss_per_epoch"]
    assert metrics["accuracy"] == trained["accuracy"]
    assert not (tmp_path / CHECKPOINT).exists(), "a finished training leaves no checkpoint"


@pytest.fixture(scope="module")
def checkpoint(prefect_server, tmp_path_factory):
    """The checkpoint of a training that was stopped after its second epoch."""
    images, _, labels, _ = job.load_data.fn()
    path = tmp_path_factory.mktemp("unfinished") / CHECKPOINT
    job.flow(lambda: job.fit(images, labels, 2, SETTINGS, path, True) and None, name="stopped")()
    return path.read_bytes()


@pytest.fixture
def unfinished(checkpoint, tmp_path):
    """A folder with that checkpoint."""
    (tmp_path / CHECKPOINT).write_bytes(checkpoint)
    return tmp_path


def test_more_epochs_may_be_asked_of_an_unfinished_training(trained, unfinished):
    metrics = job.train_classifier(epochs=5, output_dir=str(unfinished))
    assert metrics["resumed_from"] == 2
    assert weights(metrics) == weights(trained)


@pytest.mark.parametrize("asked", [{"epochs": 1}, {"resume": False}, {"seed": 8}, {"learning_rate": 0.1}])
def test_a_checkpoint_that_does_not_fit_is_not_used(unfinished, asked):
    metrics = job.train_classifier(**{"epochs": 2, "output_dir": str(unfinished)} | asked)
    assert metrics["resumed_from"] == 0
    assert metrics["epochs_run"] == metrics["epochs"]


def test_a_checkpoint_under_the_wrong_name_is_not_used(unfinished):
    other = job.fingerprint(SETTINGS | {"seed": 8})
    (unfinished / CHECKPOINT).rename(unfinished / f"checkpoint-{other}.joblib")
    assert job.train_classifier(epochs=2, seed=8, output_dir=str(unfinished))["resumed_from"] == 0


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [cut, flip_a_bit, lambda path: path.write_bytes(b""), lambda path: joblib.dump([1, 2], path)]
)
def test_a_corrupt_checkpoint_is_set_aside(unfinished, damage, caplog):
    damage(unfinished / CHECKPOINT)
    metrics = job.train_classifier(epochs=1, output_dir=str(unfinished))
    assert metrics["resumed_from"] == 0
    assert (unfinished / CHECKPOINT).with_suffix(".corrupt").exists()
    assert any(r.levelname == "WARNING" and "set aside" in r.message for r in caplog.records)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "greater than or equal to 1"),
        ("epochs", "many", "valid integer"),
        ("batch_size", 0, "greater than or equal to 1"),
        ("learning_rate", 0, "greater than 0"),
        ("learning_rate", float("nan"), "less than or equal to 1"),
        ("seed", -1, "greater than or equal to 0"),
    ],
)
def test_bad_parameters_are_refused(tmp_path, name, value, message):
    with pytest.raises(ParameterTypeError, match=f"{name}: .*{message}"):
        job.train_classifier(**{name: value}, output_dir=str(tmp_path))
    assert not os.listdir(tmp_path)
