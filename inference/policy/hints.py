"""Hints: an operator's wish to load or unload a model, valid until the model's spec says anything new."""

from collections.abc import Iterable, Mapping

from inference.spec import Hint, ModelSpec


def in_force(model: ModelSpec, hint: Hint | None) -> Hint | None:
    """The hint, where it is about the spec as it stands."""
    if hint is None or (hint.epoch, hint.spec_generation) != (model.epoch, model.generation):
        return None
    return hint


def is_unloaded(model: ModelSpec, hint: Hint | None) -> bool:
    held = in_force(model, hint)
    return held is not None and not held.loaded


def list_unloaded(models: Iterable[ModelSpec], hints: Mapping[str, Hint]) -> set[str]:
    """Names of the models that nobody shall hold in memory now."""
    return {model.name for model in models if is_unloaded(model, hints.get(model.name))} if hints else set()


def next_hint(model: ModelSpec, held: Hint | None, loaded: bool, by: str, now_s: float) -> Hint:
    """The document that says it. Readers take it, for its number is above that of the one they hold; the time in it
    keeps two nodes that wish at once, unaware of each other, from giving one number to two wishes."""
    return Hint(
        model=model.name,
        epoch=model.epoch,
        generation=max(int(now_s * 1000), held.generation + 1 if held is not None else 1),
        spec_generation=model.generation,
        loaded=loaded,
        by=by,
    )
