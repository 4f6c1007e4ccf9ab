"""PNG and JPEG files to pixel tensors."""

import io
import struct
from pathlib import Path
from typing import ClassVar, Literal

import msgspec
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inference.errors import BadDocument
from inference.processors.base import Array, BadRow, read_config, read_rows
from inference.spec import Positive, Stage

FORMATS = ("PNG", "JPEG")
RESAMPLING = {"box": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class ImageConfig(msgspec.Struct, forbid_unknown_fields=True):
    width: Positive
    height: Positive
    color: Literal["rgb", "gray"] = "rgb"
    layout: Literal["chw", "hwc", "flat"] = "chw"
    resample: Literal["box", "bilinear", "bicubic"] = "bilinear"
    scale: float = 1 / 255  # then (value - mean) / std, a number a channel
    mean: list[float] = []
    std: list[float] = []
    background: str = "white"  # what shows through transparent pixels
    max_pixels: Positive = 16_000_000  # of the sent picture; looked at before it is decoded
    max_bytes: Positive = 16 * 1024 * 1024  # of the sent file


class ImageDecoder:
    """Takes one BYTES tensor, a picture a row; adds FP32 pixels [rows, …] in the configured layout."""

    on_device: ClassVar[bool] = False
    warms_up: ClassVar[bool] = True
    sample: ClassVar[bytes] = bytes.fromhex(  # 1 × 1 gray PNG
        "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
        "3a7e9b550000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
    )

    def __init__(self, stage: Stage, folder: Path):
        self.config = read_config(stage, ImageConfig)
        self.image = stage.signature.inputs[0].name
        self.pixels = stage.signature.outputs[0].name
        channels = 3 if self.config.color == "rgb" else 1
        for name, values in (("mean", self.config.mean), ("std", self.config.std)):
            if values and len(values) != channels:
                raise BadDocument(f"Stage {stage.name!r}: {name} has {len(values)} numbers for {channels} channels.")
        if 0.0 in self.config.std:
            raise BadDocument(f"Stage {stage.name!r}: std holds a zero, by which pixels would be divided.")
        self.mean = np.array(self.config.mean or [0.0] * channels, dtype=np.float32)
        self.std = np.array(self.config.std or [1.0] * channels, dtype=np.float32)

    def run(self, tensors: dict[str, Array]) -> dict[str, Array]:
        rows = read_rows(self.image, tensors[self.image], self.config.max_bytes)
        pixels = np.stack([self.decode(row, content) for row, content in enumerate(rows)]).astype(np.float32)
        pixels = (pixels * np.float32(self.config.scale) - self.mean) / self.std
        if self.config.layout == "chw":
            pixels = pixels.transpose(0, 3, 1, 2)
        elif self.config.layout == "flat":
            pixels = pixels.reshape(len(rows), -1)
        return {self.pixels: np.ascontiguousarray(pixels)}

    def decode(self, row: int, content: bytes) -> np.ndarray:
        """Height × width × channels of one row, 0 to 255."""
        try:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                self.check_pixels(row, image)
                image = ImageOps.exif_transpose(image)
                image = self.flatten(image)
                size = (self.config.width, self.config.height)
                image = image.resize(size, RESAMPLING[self.config.resample])
                return np.asarray(image).reshape(self.config.height, self.config.width, -1)
        except UnidentifiedImageError:
            raise BadRow(self.image, row, f"is no picture in {' or '.join(FORMATS)}. Send the file's bytes.") from None
        except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
            # The decoders' ways to say that a file is broken or lies about itself.
            raise BadRow(self.image, row, f"is a broken picture: {error}.") from None

    def check_pixels(self, row: int, image: Image.Image) -> None:
        if image.width * image.height > self.config.max_pixels:
            limit = self.config.max_pixels
            raise BadRow(self.image, row, f"is {image.width} × {image.height} pixels large; at most {limit} are taken.")

    def flatten(self, image: Image.Image) -> Image.Image:
        """Without transparency, 8 bits a channel, in the configured color."""
        mode = "RGB" if self.config.color == "rgb" else "L"
        if image.mode.startswith("I"):  # 16-bit gray, which a plain conversion would clip to white
            image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            image = Image.new("RGBA", layer.size, self.config.background)
            image.alpha_composite(layer)
        return image.convert(mode)
