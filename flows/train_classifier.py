"""Train and evaluate a classifier of handwritten digits, epoch by epoch, in a job that can be interrupted.

A small neural network learns scikit-learn's digits, every image shown in nine positions an epoch. After each epoch
the run's state is saved (`carbon_policy.checkpoint`): there an interruptible run may be stopped, to go on in a greener
hour, and a run that was killed and is started again goes on where it was; to the same weights bit for bit on the same
kind of processor. More epochs are more work: one takes about a tenth of a second of one core.

Run a small one here: `python flows/train_classifier.py`. Deploy: `prefect deploy` (see prefect.yaml).
"""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from pydantic import Field

import carbon_policy

HIDDEN_LAYERS = (128, 64)


@task(cache_policy=NO_CACHE)
def load_data() -> tuple[Any, Any, Any, Any]:
    """The digits as (training images, held-out images, training labels, held-out labels)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    # The split is fixed, whatever the seed: the held-out quarter is the same in every job.
    return tuple(train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels))


def fit(images: Any, labels: Any, epochs: int, settings: dict[str, Any]) -> tuple[Any, int]:
    """Train up to `epochs`; the trained model and the epoch that training was taken up from.

    No task: a run is stopped by its flow, and a task that ended with it would be running for ever.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    logger = get_run_logger()
    mark = fingerprint(settings)
    saved = carbon_policy.restore({"fingerprint": mark, "epoch": 0, "model": None})
    if saved["fingerprint"] != mark:
        logger.warning("The checkpoint was made by other versions of numpy or scikit-learn; starting afresh")
        saved = {"epoch": 0, "model": None}
    done, model = saved["epoch"], saved["model"] or untrained(settings)
    images, labels = shifted(images), np.tile(labels, 9)
    # One thread: the order of a sum, and so its last bit, must not hang on the number of cores.
    with threadpool_limits(limits=1):
        for epoch in range(done, epochs):
            # The order depends on seed and epoch alone, so a resumed run needs no generator's state.
            order = np.random.default_rng([settings["seed"], epoch]).permutation(len(images))
            model.partial_fit(images[order], labels[order], classes=np.arange(10))
            logger.info("Epoch %d of %d: loss %.4f", epoch + 1, epochs, model.loss_)
            state = {"fingerprint": mark, "epoch": epoch + 1, "model": model}
            carbon_policy.checkpoint(state, done=(epoch + 1) / epochs)
    return model, done


@task(cache_policy=NO_CACHE)
def evaluate(model: Any, images: Any, labels: Any) -> dict[str, float]:
    """The model's accuracy and log loss on images that it has not seen."""
    from sklearn.metrics import accuracy_score, log_loss

    chances = model.predict_proba(images)
    accuracy = float(accuracy_score(labels, chances.argmax(axis=1)))
    return {"accuracy": accuracy, "held_out_loss": float(log_loss(labels, chances))}


@flow
def train_classifier(
    epochs: Annotated[int, Field(ge=1)] = 5,
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 64,
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.05,
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 7,
    output_dir: str = "artifacts",
) -> dict[str, Any]:
    """Train a classifier of handwritten digits, evaluate it and save it.

    Args:
        epochs: Passes over the training images.
        batch_size: Images per gradient step.
        learning_rate: Size of a gradient step.
        seed: Seed of the first weights and of each epoch's order.
        output_dir: Folder of the model and its metrics.

    Returns:
        The metrics, which are also saved beside the model.
    """
    started = time.perf_counter()
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
    model_path = folder / "classifier.joblib"

    train_images, test_images, train_labels, test_labels = load_data()
    model, resumed_from = fit(train_images, train_labels, epochs, settings)
    metrics = evaluate(model, test_images, test_labels) | {
        "loss_per_epoch": [float(loss) for loss in model.loss_curve_],
        "epochs": epochs,
        "epochs_run": epochs - resumed_from,
        "resumed_from": resumed_from,
        **settings,
        "model_path": str(model_path),
        "seconds": time.perf_counter() - started,
    }
    save_atomically(model, model_path)
    model_path.with_suffix(".json").write_text(json.dumps(metrics, indent=2) + "\n")
    get_run_logger().info("Accuracy %.3f on unseen images; saved %s", metrics["accuracy"], model_path)
    return metrics


def untrained(settings: dict[str, Any]) -> Any:
    """The network with its first weights still to be drawn."""
    from sklearn.neural_network import MLPClassifier

    rates = {"batch_size": settings["batch_size"], "learning_rate_init": settings["learning_rate"]}
    # The images are shuffled by the caller, not by the model.
    return MLPClassifier(HIDDEN_LAYERS, solver="sgd", shuffle=False, random_state=settings["seed"], **rates)


def shifted(images: Any) -> Any:
    """Every 8x8 image in nine positions: as it is and moved by one pixel in each direction."""
    import numpy as np

    padded = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    moved = [padded[:, row : row + 8, column : column + 8] for row in range(3) for column in range(3)]
    return np.concatenate(moved).reshape(-1, 64)


def fingerprint(settings: dict[str, Any]) -> str:
    """A name for all that shapes the weights but the number of epochs."""
    import numpy
    import sklearn

    versions = [numpy.__version__, sklearn.__version__]
    shaping = json.dumps([settings, HIDDEN_LAYERS, versions], sort_keys=True)
    return hashlib.sha256(shaping.encode()).hexdigest()[:16]


def save_atomically(thing: Any, path: Path) -> None:
    """Write `thing` so that `path` holds either the old file or the whole new one, never a part."""
    import joblib

    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    joblib.dump(thing, unfinished, compress=3)  # compressed, it carries a checksum
    os.replace(unfinished, path)


if __name__ == "__main__":
    print(train_classifier(epochs=3))
