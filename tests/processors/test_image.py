"""Pictures: exact pixels from good files, a named row for bad ones, and no file that costs more than its limit."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.errors import BadDocument
from inference.processors.base import BadRow
from inference.processors.image import ImageDecoder

IMAGE = [("image", "BYTES", (-1,))]
PIXELS = [("pixels", "FP32", (-1, 3, 2, 2))]
Make = Callable[..., Any]
Rows = Callable[..., np.ndarray]
Encode = Callable[..., bytes]


def decode(make_processor: Make, content: np.ndarray, **config: Any) -> np.ndarray:
    settings = {"width": 2, "height": 2, "resample": "box"} | config
    return make_processor("image", IMAGE, PIXELS, **settings).run({"image": content})["pixels"]


@pytest.mark.parametrize(
    "layout, color, shape",
    [
        ("chw", "rgb", (2, 3, 2, 2)),
        ("hwc", "rgb", (2, 2, 2, 3)),
        ("chw", "gray", (2, 1, 2, 2)),
        ("flat", "gray", (2, 4)),
    ],
)
def test_layouts(
    make_processor: Make, as_rows: Rows, encode_image: Encode, layout: str, color: str, shape: tuple[int, ...]
) -> None:
    rows = as_rows(encode_image(Image.new("RGB", (8, 6), "red")), encode_image(Image.new("L", (3, 9), 255), "JPEG"))
    pixels = decode(make_processor, rows, layout=layout, color=color)
    assert pixels.shape == shape
    assert pixels.dtype == np.float32
    assert pixels[1].min() > 0.99


def test_pixels_are_exact_and_channels_in_order(make_processor: Make, as_rows: Rows, encode_image: Encode) -> None:
    image = Image.new("RGB", (2, 2))
    image.putdata([(255, 0, 0), (0, 255, 0), (0, 0, 255), (51, 102, 204)])
    pixels = decode(make_processor, as_rows(encode_image(image)))
    assert np.allclose(pixels[0, :, 0, 0], [1, 0, 0])
    assert np.allclose(pixels[0, :, 0, 1], [0, 1, 0])
    assert np.allclose(pixels[0, :, 1, 1], [0.2, 0.4, 0.8])


def test_mean_and_std_apply_to_each_channel(make_processor: Make, as_rows: Rows, encode_image: Encode) -> None:
    rows = as_rows(encode_image(Image.new("RGB", (2, 2), "white")))
    pixels = decode(make_processor, rows, mean=[1.0, 0.5, 0.0], std=[1.0, 0.5, 0.25])
    assert pixels[0, :, 0, 0].tolist() == [0, 1, 4]


def test_transparency_shows_the_background(make_processor: Make, as_rows: Rows, encode_image: Encode) -> None:
    rows = as_rows(encode_image(Image.new("RGBA", (2, 2), (0, 0, 0, 0))))
    assert decode(make_processor, rows).min() == 1
    assert decode(make_processor, rows, background="black").max() == 0


def test_sixteen_bit_gray_is_scaled_not_clipped(make_processor: Make, as_rows: Rows, encode_image: Encode) -> None:
    image = Image.fromarray(np.full((2, 2), 32768, np.uint16))
    assert decode(make_processor, as_rows(encode_image(image)), color="gray").max() == pytest.approx(0.5, abs=0.01)


def test_a_turned_photo_is_set_upright(make_processor: Make, as_rows: Rows, encode_image: Encode) -> None:
    image = Image.new("L", (2, 2))
    image.putdata([255, 0, 255, 0])  # bright on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° to see it
    rows = as_rows(encode_image(image, "PNG", exif=exif))
    assert decode(make_processor, rows, color="gray", layout="flat").tolist() == [[1, 1, 0, 0]]


def huge_png() -> bytes:
    """40,000 × 40,000 pixels that take a few bytes here and 1.6 GB decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")


def noise(format: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(file, format)
    return file.getvalue()


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "no picture"),
        (b"<svg onload=alert(1)>", "no picture"),
        (b"GIF89a" + b"\0" * 40, "no picture"),
        (noise("PNG")[:900], "broken"),
        (noise("JPEG")[:900], "broken"),
        (ImageDecoder.sample[:20], "no picture|broken"),
        (huge_png(), "1600000000|40000 × 40000|broken"),
        (b"x" * 3000, "3000 bytes; at most 2000"),
    ],
    ids=["empty", "svg", "gif", "cut png", "cut jpeg", "cut head", "bomb", "too long"],
)
def test_what_cannot_be_decoded_names_its_row(make_processor: Make, as_rows: Rows, content: bytes, words: str) -> None:
    with pytest.raises(BadRow, match=words) as caught:
        decode(make_processor, as_rows(ImageDecoder.sample, content), max_bytes=2000)
    assert caught.value.row == 1


def test_a_limit_on_pixels_is_looked_at_before_decoding(
    make_processor: Make, as_rows: Rows, encode_image: Encode
) -> None:
    rows = as_rows(encode_image(Image.new("L", (101, 100))))
    with pytest.raises(BadRow, match=r"101 × 100 .* at most 10000"):
        decode(make_processor, rows, max_pixels=10_000)


@pytest.mark.parametrize("config", [{"mean": [0.5]}, {"std": [1.0, 0.0, 1.0]}, {"layout": "wch"}, {"width": 0}])
def test_a_config_that_cannot_work_is_refused(make_processor: Make, as_rows: Rows, config: dict) -> None:
    with pytest.raises(BadDocument, match="step"):
        decode(make_processor, as_rows(ImageDecoder.sample), **config)
