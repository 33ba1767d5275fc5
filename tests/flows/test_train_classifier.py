"""The training job: real metrics, and the same weights however often it is interrupted or killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
import train_classifier as job
from prefect import get_client
from prefect.exceptions import ParameterTypeError, Pause
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL, PREFECT_HOME
from prefect.states import Pending, Scheduled
from sklearn.datasets import load_digits


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


@pytest.fixture
def run(prefect_server, tmp_path):
    """A run of the job that is yet to begin."""
    with get_client(sync_client=True) as client:
        parameters = {"output_dir": str(tmp_path)}
        return client.create_flow_run(job.train_classifier, parameters=parameters, state=Pending())


def go_on(run):
    """Start a run again, as a worker does; its metrics."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Scheduled(), force=True)
        client.set_flow_run_state(run.id, Pending())
        return run_flow(
            job.train_classifier, flow_run=client.read_flow_run(run.id), parameters=run.parameters
        )


KILLED_WITHIN_THE_THIRD_CHECKPOINT = """
import os, sys, train_classifier
from uuid import UUID
from prefect import get_client
from prefect.filesystems import LocalFileSystem
from prefect.flow_engine import run_flow
whole = LocalFileSystem.write_path
def write_path(self, path, content, **options):
    if b'"number": 3,' in content[:200]:
        whole(self, path, content=content[:1000], **options)
        os._exit(9)
    return whole(self, path, content=content, **options)
LocalFileSystem.write_path = write_path
with get_client(sync_client=True) as client:
    run = client.read_flow_run(UUID(sys.argv[1]))
run_flow(train_classifier.train_classifier, flow_run=run, parameters=run.parameters)
"""


def test_a_killed_training_goes_on_to_the_same_weights(trained, run, tmp_path):
    here = {"PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_HOME": str(PREFECT_HOME.value())}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WITHIN_THE_THIRD_CHECKPOINT, str(run.id)],
        cwd=Path(job.__file__).parent,
        env=os.environ | here,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == 9, killed.stderr.decode()
    assert not (tmp_path / "classifier.joblib").exists()

    metrics = go_on(run)

    assert (metrics["resumed_from"], metrics["epochs_run"]) == (2, 3)
    assert_the_same(metrics, trained)


def test_a_training_that_is_interrupted_twice_comes_to_the_same_weights(trained, run, monkeypatch):
    """What stops it is put in its place after two epochs, and after one more; it goes on with what was saved alone."""
    stops = [2, 3]
    real = job.carbon_policy.checkpoint

    def checkpoint(state, *, done):
        real(state, done=done)
        if stops and state["epoch"] == stops[0]:
            stops.pop(0)
            raise Pause

    monkeypatch.setattr(job.carbon_policy, "checkpoint", checkpoint, raising=False)
    for _ in range(2):
        with pytest.raises(Pause):
            go_on(run)
    metrics = go_on(run)
    assert (metrics["resumed_from"], metrics["epochs_run"]) == (3, 2)
    assert_the_same(metrics, trained)


def test_a_checkpoint_of_other_versions_is_not_used(trained, run, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr(job, "fingerprint", lambda settings: "older")
        older.setattr(job, "evaluate", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            go_on(run)
    metrics = go_on(run)
    assert metrics["resumed_from"] == 0
    assert_the_same(metrics, trained)


def assert_the_same(metrics, trained):
    """Bit for bit, and nothing left but the model and its metrics."""
    assert weights(metrics) == weights(trained)
    assert metrics["loss_per_epoch"] == trained["loss_per_epoch"]
    assert metrics["accuracy"] == trained["accuracy"]
    assert sorted(os.listdir(Path(metrics["model_path"]).parent)) == ["classifier.joblib", "classifier.json"]


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
