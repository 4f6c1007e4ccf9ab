"""Stages and units of the digits demo, apart from the training, which needs torch and scikit-learn."""

from inference.spec import BatchPolicy, DeviceKind, Signature, Stage, StageKind, TensorSpec, Unit

SIDE = 8
TOP_K = 3

IMAGE = TensorSpec(name="image", datatype="BYTES", shape=(-1,))
PIXELS = TensorSpec(name="pixels", datatype="FP32", shape=(-1, 1, SIDE, SIDE))
LOGITS = TensorSpec(name="logits", datatype="FP32", shape=(-1, 10))
LABEL = TensorSpec(name="label", datatype="BYTES", shape=(-1, TOP_K))
SCORE = TensorSpec(name="score", datatype="FP32", shape=(-1, TOP_K))
SIGNATURE = Signature(inputs=(IMAGE,), outputs=(LABEL, SCORE))
STAGES = (
    Stage(
        name="decode",
        kind=StageKind.PREPROCESS,
        use="image",
        config={"width": SIDE, "height": SIDE, "color": "gray", "resample": "box"},
        signature=Signature(inputs=(IMAGE,), outputs=(PIXELS,)),
    ),
    Stage(name="infer", kind=StageKind.INFER, signature=Signature(inputs=(PIXELS,), outputs=(LOGITS,))),
    Stage(
        name="classify",
        kind=StageKind.POSTPROCESS,
        use="classify",
        config={"top_k": TOP_K, "labels": [str(digit) for digit in range(10)]},
        signature=Signature(inputs=(LOGITS,), outputs=(LABEL, SCORE)),
    ),
)
# A unit each, to show stages as services of their own; only the model would profit from a GPU.
UNITS = (
    Unit(name="preprocess", stages=("decode",), device=DeviceKind.CPU, batch=BatchPolicy(max_size=16)),
    Unit(name="infer", stages=("infer",), batch=BatchPolicy(max_size=64)),
    Unit(name="postprocess", stages=("classify",), device=DeviceKind.CPU, batch=BatchPolicy(max_size=64)),
)
