"""The demo's picture model: handwritten digits, trained here in seconds on the set that scikit-learn bundles."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from inference.errors import ModelFailed
from inference.optimize.demo import Made
from inference.optimize.digits_stages import LOGITS, PIXELS, SIDE, SIGNATURE, STAGES, UNITS
from inference.optimize.export import export_module
from inference.policy.units import unit_signature
from inference.runtimes.pipeline import load_pipeline
from inference.spec import Artifact, Format, Version

BRIGHTEST = 16  # pixels of the set go from 0 to 16
SAMPLE_SIDE = 128  # samples are drawn large; `box` resampling brings back exactly the 8 × 8 pixels
SEED = 11
EPOCHS = 20
BATCH = 64
MIN_ACCURACY = 0.95


def make(name: str, out: Path) -> Made:
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, SIDE, SIDE).astype(np.float32) / BRIGHTEST
    kept = train_test_split(images, labels, test_size=0.2, random_state=SEED, stratify=labels)
    train_images, test_images, train_labels, test_labels = kept
    export_module(train(train_images, train_labels), PIXELS, LOGITS, out / "files")
    accuracy = measure(out / "files", test_images, test_labels)
    if accuracy < MIN_ACCURACY:
        raise ModelFailed(f"Only {accuracy:.1%} of the held-out digits are right; {MIN_ACCURACY:.0%} are wanted.")
    for digit in range(10):
        first = int(np.flatnonzero(test_labels == digit)[0])
        (out / "samples" / f"digit-{digit}.png").write_bytes(to_png(test_images[first], SAMPLE_SIDE))
    return Made(
        recipe=name,
        recipe_digest="",
        model="digits",
        format=Format.ONNX,
        signature=SIGNATURE,
        stages=STAGES,
        units=UNITS,
        description="Handwritten digits, a small convolutional network, each stage a unit of its own",
        figures={"held_out_accuracy": round(accuracy, 4), "held_out_images": len(test_labels)},
    )


def train(images: np.ndarray, labels: np.ndarray) -> torch.nn.Module:
    """The same weights each time on one machine: fixed seed, fixed order, one thread."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 16, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 10),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    pixels, targets = torch.from_numpy(images), torch.from_numpy(labels)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(pixels)).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(pixels[chosen]), targets[chosen]).backward()
            optimizer.step()
    return model.eval()


def measure(files: Path, images: np.ndarray, labels: np.ndarray) -> float:
    """Held-out accuracy of what will be served: PNG files through every unit."""
    version = Version(
        number=1,
        digest="0" * 64,
        format=Format.ONNX,
        artifact=Artifact(digest="0" * 64, files=(), store=""),
        signature=SIGNATURE,
        stages=STAGES,
        units=UNITS,
    )
    at_hand = {"image": as_bytes(to_png(image, SAMPLE_SIDE) for image in images)}
    for unit in UNITS:
        wanted = [spec.name for spec in unit_signature(version, unit).inputs]
        pipeline = load_pipeline(version, unit, files, "cpu", 1)
        at_hand |= pipeline.run({tensor: at_hand[tensor] for tensor in wanted})
    right = [int(label) == truth for label, truth in zip(at_hand["label"][:, 0], labels, strict=True)]
    return float(np.mean(right))


def to_png(image: np.ndarray, side: int) -> bytes:
    pixels = np.rint(image.reshape(SIDE, SIDE) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def as_bytes(values: Iterable[bytes]) -> np.ndarray:
    rows = list(values)
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array
