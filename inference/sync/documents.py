"""All documents that a node knows, as one immutable value, and the rule by which a newer one is taken.

Readers hold one reference; a change makes a new value that shares all it did not touch. What a request started with
stays as it was until the request ends.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from inference import spec, status
from inference.errors import BadDocument
from inference.spec import Document, Hint, Intent, KeysSpec, ModelSpec, PoolSpec, PriceSpec
from inference.status import Effective, Endpoints

KINDS: dict[str, type[Document]] = {**spec.KINDS, **status.KINDS}
FIELDS = {
    "spec": "models", "pool": "pools", "price": "prices", "intent": "intents", "hint": "hints",
    "effective": "effective", "endpoints": "endpoints",
}  # fmt: skip
NAMED_BY = {"spec": "name", "pool": "name", "price": "name", "intent": "rollout", "hint": "model",
            "effective": "name", "endpoints": "pool"}  # fmt: skip

Change = tuple[str, str, Document]  # kind, key, document


class Documents(Struct, frozen=True):
    """What is in force on this node. A deleted document leaves its dict; its tombstone stays, to refuse older news."""

    models: dict[str, ModelSpec] = {}
    keys: KeysSpec | None = None
    pools: dict[str, PoolSpec] = {}
    prices: dict[str, PriceSpec] = {}
    intents: dict[str, Intent] = {}
    hints: dict[str, Hint] = {}
    effective: dict[str, Effective] = {}
    endpoints: dict[str, Endpoints] = {}
    tombstones: dict[tuple[str, str], Document] = {}

    def find(self, kind: str, key: str) -> Document | None:
        """The document or tombstone in force; None means no news of it has come."""
        if kind == "keys":
            return self.keys
        return getattr(self, FIELDS[kind]).get(key) or self.tombstones.get((kind, key))

    def generations(self) -> dict[str, tuple[str, int]]:
        """`"spec/minilm" → (epoch, generation)` of all that the console wrote: a gateway's acknowledgement."""
        return generations_of(self)

    def __iter__(self) -> Iterator[Change]:
        if self.keys is not None:
            yield "keys", spec.KEYS_NAME, self.keys
        for kind, field in FIELDS.items():
            for key, document in getattr(self, field).items():
                yield kind, key, document
        for (kind, key), document in self.tombstones.items():
            yield kind, key, document


def generations_of(changes: Iterable[Change]) -> dict[str, tuple[str, int]]:
    return {
        f"{kind}/{key}": (document.epoch, document.generation)  # type: ignore[attr-defined]
        for kind, key, document in changes
        if kind in spec.KINDS and kind != "hint"
    }


def is_newer(kind: str, document: Document, held: Document | None) -> bool:
    """Whether `document` replaces `held`: a higher (fence, revision), or generation; another epoch always does."""
    if held is None:
        return True
    ours, theirs = rank_of(kind, held), rank_of(kind, document)
    if kind in status.KINDS:
        return theirs > ours
    return theirs[0] != ours[0] or theirs[1] > ours[1]


def rank_of(kind: str, document: Any) -> tuple[Any, int]:
    if kind in status.KINDS:
        return document.fence, document.revision
    return document.epoch, document.generation


def accept(documents: Documents, kind: str, document: Document) -> Documents | None:
    """The documents with this one in force, or None when it is not newer than what is."""
    changed, taken = accept_all(documents, [(kind, key_of(kind, document), document)])
    return changed if taken else None


def accept_all(documents: Documents, changes: Iterable[Change]) -> tuple[Documents, list[Change]]:
    """Take what is newer; say what was taken. Each dict that changes is copied once, however many changes there are."""
    fresh: dict[str, Any] = {}
    taken: list[Change] = []

    def editable(field: str) -> dict[Any, Document]:
        if field not in fresh:
            fresh[field] = dict(getattr(documents, field))
        return fresh[field]

    def held(kind: str, key: str) -> Document | None:
        if kind == "keys":
            return fresh.get("keys", documents.keys)
        live = fresh.get(FIELDS[kind], getattr(documents, FIELDS[kind]))
        return live.get(key) or fresh.get("tombstones", documents.tombstones).get((kind, key))

    for kind, key, document in changes:
        if not is_newer(kind, document, held(kind, key)):
            continue
        taken.append((kind, key, document))
        if kind == "keys":
            fresh["keys"] = document
        elif getattr(document, "deleted", False):
            editable(FIELDS[kind]).pop(key, None)
            editable("tombstones")[kind, key] = document
        else:
            editable(FIELDS[kind])[key] = document
            if (kind, key) in fresh.get("tombstones", documents.tombstones):
                editable("tombstones").pop((kind, key), None)
    return (msgspec.structs.replace(documents, **fresh) if fresh else documents), taken


def key_of(kind: str, document: Any) -> str:
    return spec.KEYS_NAME if kind == "keys" else getattr(document, NAMED_BY[kind])


def read_document(kind: str, key: str, raw: bytes | str) -> Document:
    """Decode strictly, and refuse a document that lies under another's name. Raises BadDocument."""
    if kind not in KINDS:
        raise BadDocument(f"There is no kind of document called {kind!r}; there are {', '.join(KINDS)}.")
    document = spec.decode(raw, KINDS[kind])
    if key_of(kind, document) != key:
        raise BadDocument(f"The document {kind}/{key} says that it is {key_of(kind, document)!r}.")
    return document
