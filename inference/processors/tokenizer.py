"""Text to token ids, with the tokenizer.json of a Hugging Face folder."""

from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import tokenizers

from inference.errors import BadDocument, CorruptArtifact
from inference.processors.base import TOKEN_COUNTS, Array, artifact_file, read_config, read_texts
from inference.spec import Positive, Stage


class TokenizerConfig(msgspec.Struct, forbid_unknown_fields=True):
    max_length: Positive = 512  # tokens, special ones included; the rest of a text is cut off
    file: str = "tokenizer.json"
    pad_id: int = 0
    max_bytes: Positive = 1_000_000  # of one text: tokenizing takes time before anything is cut


# What an encoding holds of each output a stage may declare.
FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class Tokenizer:
    """Takes one BYTES tensor of UTF-8 text, a text a row; adds those of FIELDS that the stage declares, and counts.

    Rows are padded to the longest of the batch, never to a fixed length: short texts cost what they are worth.
    """

    on_device: ClassVar[bool] = False
    warms_up: ClassVar[bool] = True
    sample: ClassVar[bytes] = b"A sentence to warm up with."

    def __init__(self, stage: Stage, folder: Path):
        config = read_config(stage, TokenizerConfig)
        self.text = stage.signature.inputs[0].name
        self.outputs = [tensor.name for tensor in stage.signature.outputs]
        if unknown := set(self.outputs) - set(FIELDS):
            raise BadDocument(f"Stage {stage.name!r} wants {unknown} of a tokenizer, which gives {', '.join(FIELDS)}.")
        self.max_bytes = config.max_bytes
        path = artifact_file(folder, config.file)
        try:
            self.tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception for whatever is wrong with the file
            raise CorruptArtifact(f"{config.file} is not a tokenizer that can be read: {error}.") from error
        self.tokenizer.enable_truncation(config.max_length)
        self.tokenizer.enable_padding(pad_id=config.pad_id, pad_token=self.tokenizer.id_to_token(config.pad_id) or "")

    def run(self, tensors: dict[str, Array]) -> dict[str, Array]:
        texts = read_texts(self.text, tensors[self.text], self.max_bytes)
        encodings = self.tokenizer.encode_batch_fast(texts)
        width = len(encodings[0].ids) if encodings else 0
        added = {
            name: np.array([getattr(e, FIELDS[name]) for e in encodings], dtype=np.int64).reshape(len(texts), width)
            for name in self.outputs
        }
        added[TOKEN_COUNTS] = np.array([sum(encoding.attention_mask) for encoding in encodings], dtype=np.int64)
        return added
