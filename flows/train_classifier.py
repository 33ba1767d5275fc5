"""Train and evaluate a classifier of handwritten digits, epoch by epoch, with checkpoints.

A small neural network learns scikit-learn's digits, every image shown in nine positions an epoch. After each
epoch a checkpoint is written, so a run that is stopped goes on where it was, to the same weights bit for bit
on the same kind of processor. More epochs are more work: one takes about a tenth of a second of one core.

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

HIDDEN_LAYERS = (128, 64)


@task(cache_policy=NO_CACHE)
def load_data() -> tuple[Any, Any, Any, Any]:
    """The digits as (training images, held-out images, training labels, held-out labels)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    # The split is fixed, whatever the seed: the held-out quarter is the same in every job.
    return tuple(train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels))


@task(cache_policy=NO_CACHE)
def fit(
    images: Any, labels: Any, epochs: int, settings: dict[str, Any], checkpoint: Path, resume: bool
) -> tuple[Any, int]:
    """Train up to `epochs`; the trained model and the epoch that training was taken up from."""
    import numpy as np
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    logger = get_run_logger()
    seed, mark = settings["seed"], fingerprint(settings)
    saved = load_checkpoint(checkpoint, mark, epochs) if resume else None
    if saved:
        done, model = saved["epoch"], saved["model"]
        logger.info("Resumed from %s: %d of %d epochs were done", checkpoint, done, epochs)
    else:
        rates = {"batch_size": settings["batch_size"], "learning_rate_init": settings["learning_rate"]}
        # The images are shuffled below, not by the model.
        done = 0
        model = MLPClassifier(HIDDEN_LAYERS, solver="sgd", shuffle=False, random_state=seed, **rates)
    images, labels = shifted(images), np.tile(labels, 9)
    # One thread: the order of a sum, and so its last bit, must not hang on the number of cores.
    with threadpool_limits(limits=1):
        for epoch in range(done, epochs):
            # The order depends on seed and epoch alone, so a resumed run needs no generator's state.
            order = np.random.default_rng([seed, epoch]).permutation(len(images))
            model.partial_fit(images[order], labels[order], classes=np.arange(10))
            save_atomically({"fingerprint": mark, "epoch": epoch + 1, "model": model}, checkpoint)
            logger.info("Epoch %d of %d: loss %.4f", epoch + 1, epochs, model.loss_)
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
    resume: bool = True,
) -> dict[str, Any]:
    """Train a classifier of handwritten digits, evaluate it and save it.

    Args:
        epochs: Passes over the training images.
        batch_size: Images per gradient step.
        learning_rate: Size of a gradient step.
        seed: Seed of the first weights and of each epoch's order.
        output_dir: Folder of the model, its metrics and the checkpoint of an unfinished training.
        resume: Whether to go on from the checkpoint of an unfinished training with the same settings.

    Returns:
        The metrics, which are also saved beside the model.
    """
    started = time.perf_counter()
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
    checkpoint = folder / f"checkpoint-{fingerprint(settings)}.joblib"
    model_path = folder / "classifier.joblib"

    train_images, test_images, train_labels, test_labels = load_data()
    model, resumed_from = fit(train_images, train_labels, epochs, settings, checkpoint, resume)
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
    checkpoint.unlink(missing_ok=True)  # the model is safe, and the next run starts afresh
    get_run_logger().info("Accuracy %.3f on unseen images; saved %s", metrics["accuracy"], model_path)
    return metrics


def shifted(images: Any) -> Any:
    """Every 8x8 image in nine positions: as it is and moved by one pixel in each direction."""
    import numpy as np

    padded = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    moved = [padded[:, row : row + 8, column : column + 8] for row in range(3) for column in range(3)]
    return np.concatenate(moved).reshape(-1, 64)


def fingerprint(settings: dict[str, Any]) -> str:
    """A name for all that shapes the weights but the number of epochs, which may grow."""
    import numpy
    import sklearn

    versions = [numpy.__version__, sklearn.__version__]
    shaping = json.dumps([settings, HIDDEN_LAYERS, versions], sort_keys=True)
    return hashlib.sha256(shaping.encode()).hexdigest()[:16]


def load_checkpoint(path: Path, mark: str, epochs: int) -> dict[str, Any] | None:
    """The checkpoint at `path` if it is of this training and not past `epochs`; a broken one is set aside."""
    import joblib

    if not path.exists():
        return None
    try:
        saved = joblib.load(path)
        if saved["fingerprint"] == mark and saved["epoch"] == len(saved["model"].loss_curve_) <= epochs:
            return dict(saved)
        get_run_logger().warning("%s is of another training or a longer one; starting afresh", path)
    except Exception as error:  # a broken pickle may raise anything
        aside = path.replace(path.with_suffix(".corrupt"))
        get_run_logger().warning("Unreadable checkpoint set aside as %s, starting afresh: %r", aside, error)
    return None


def save_atomically(thing: Any, path: Path) -> None:
    """Write `thing` so that `path` holds either the old file or the whole new one, never a part."""
    import joblib

    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    joblib.dump(thing, unfinished, compress=3)  # compressed, it carries a checksum
    os.replace(unfinished, path)


if __name__ == "__main__":
    print(train_classifier(epochs=3))
