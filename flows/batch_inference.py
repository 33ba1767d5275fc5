"""Score a batch of handwritten digits with a trained classifier and write the predictions to a CSV file.

The items are images that the training has not seen, each with fresh sensor noise, so that no two are alike
and the true label of each is known. More items are more work. Progress shows in the Prefect UI.

Run a small one here: `python flows/batch_inference.py`. Deploy: `prefect deploy` (see prefect.yaml).
"""

import csv
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field


@task(cache_policy=NO_CACHE)
def load_model(model_path: str | None) -> Any:
    """The classifier at `model_path`, or a small one trained here if there is no path.

    Args:
        model_path: A file that train_classifier saved. Loading it runs code: load only what you trust.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no classifier of 8x8 images.
    """
    if model_path is None:
        from sklearn.linear_model import SGDClassifier

        get_run_logger().info("No model_path was given: training a small linear model in this run")
        images, _, labels, _ = digits()
        return SGDClassifier(loss="log_loss", random_state=0).fit(images, labels)

    import joblib

    if not Path(model_path).is_file():
        raise FileNotFoundError(
            f"There is no model at {Path(model_path).resolve()}. Train one first with "
            "`python flows/train_classifier.py`, or leave model_path out to train a small one in this run."
        )
    try:
        model = joblib.load(model_path)
    except Exception as error:  # a broken pickle may raise anything
        raise ValueError(f"{model_path} cannot be read as a model: {error!r}. Train it again.") from error
    if not hasattr(model, "predict_proba") or getattr(model, "n_features_in_", None) != 64:
        raise ValueError(f"{model_path} holds no classifier of 8x8 images. Train one with train_classifier.")
    return model


@task(cache_policy=NO_CACHE)
def score(model: Any, items: int, batch_size: int, seed: int, path: Path) -> dict[str, Any]:
    """Score the items batch by batch into the CSV file at `path`, and sum up what was found."""
    import numpy as np

    progress = create_progress_artifact(0.0, key="batch-inference", description=f"Scoring {items} items")
    counts, done, correct, shown, seconds = np.zeros(10, dtype=int), 0, 0, 0, 0.0
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with unfinished.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item", "label", "predicted", "confidence"])
        for images, labels in batches(items, batch_size, seed):
            started = time.perf_counter()
            chances = model.predict_proba(images)
            predicted = chances.argmax(axis=1)
            seconds += time.perf_counter() - started
            confidence = chances.max(axis=1).round(4)
            numbers = range(done, done + len(images))
            rows.writerows(zip(numbers, labels, predicted, confidence, strict=True))
            counts += np.bincount(predicted, minlength=10)
            correct += int((predicted == labels).sum())
            done += len(images)
            if (percent := 100 * done // items) > shown:  # a hundred updates at most, however many batches
                shown = percent
                update_progress_artifact(progress, float(percent))
    os.replace(unfinished, path)
    return {
        "items": done,
        "accuracy": correct / done,
        "items_per_second": done / seconds,
        "class_histogram": {str(digit): int(count) for digit, count in enumerate(counts)},
    }


@flow
def batch_inference(
    items: Annotated[int, Field(ge=1)] = 2000,
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 64,
    model_path: str | None = None,
    output_dir: str = "artifacts",
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 7,
) -> dict[str, Any]:
    """Score handwritten digits in batches and write the predictions to a CSV file.

    Args:
        items: How many images to score.
        batch_size: Images scored at a time.
        model_path: A model that train_classifier saved; without one, a small model is trained in this run.
        output_dir: Folder of predictions.csv.
        seed: Seed of the choice of images and of their noise.

    Returns:
        Items scored, accuracy against the known labels, items per second of scoring alone, how often each
        digit was seen, the path of the predictions and the seconds the whole job took.
    """
    started = time.perf_counter()
    path = Path(output_dir) / "predictions.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = score(load_model(model_path), items, batch_size, seed, path)
    get_run_logger().info("Scored %d items, %.1f%% right; saved %s", items, 100 * result["accuracy"], path)
    return result | {"predictions_path": str(path), "seconds": time.perf_counter() - started}


def digits() -> tuple[Any, Any, Any, Any]:
    """The digits, split as train_classifier splits them: the held-out quarter is new to every model."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    return tuple(train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels))


def batches(items: int, batch_size: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """The items as batches of (images, labels): held-out images, each with noise of its own."""
    import numpy as np

    _, images, _, labels = digits()
    # Two streams, so that the items are the same however they are cut into batches.
    choice, sensor = (np.random.default_rng([seed, stream]) for stream in range(2))
    for start in range(0, items, batch_size):
        drawn = choice.integers(len(images), size=min(batch_size, items - start))
        noise = sensor.normal(scale=1 / 16, size=(len(drawn), 64))
        yield np.clip(images[drawn] + noise, 0, 1), labels[drawn]


if __name__ == "__main__":
    print(batch_inference(items=500))
