"""What crosses from unit to unit of a version. Pure, so that console, gateway and worker always agree.

A request carries named tensors, its *tensors at hand*: first the client's inputs. A stage takes some of them and adds
some; a name is made once and never overwritten. A unit is a run of stages in one process: it takes what its stages need
from outside, and gives what somebody after it still needs (a later unit, or the client). So the caller goes through
`version.units` in order, hands each one `unit_signature(...).inputs` of the tensors at hand, adds what comes back, and
answers with `version.signature.outputs`. Nothing travels through a unit that has no use for it.
"""

from inference.errors import BadDocument
from inference.spec import Signature, Stage, TensorSpec, Unit, Version


def unit_stages(version: Version, unit: Unit) -> tuple[Stage, ...]:
    by_name = {stage.name: stage for stage in version.stages}
    return tuple(by_name[name] for name in unit.stages)


def unit_signature(version: Version, unit: Unit) -> Signature:
    """The tensors that `unit` takes and gives, as the stages declare them."""
    stages = unit_stages(version, unit)
    made = {tensor.name: tensor for stage in stages for tensor in stage.signature.outputs}
    declared = {tensor.name: tensor for tensor in version.signature.inputs}
    taken: dict[str, TensorSpec] = {}
    for stage in stages:
        for tensor in stage.signature.inputs:
            if tensor.name not in made:
                # The version's own declaration of a client's input says more (ragged axes, finite) than a stage need.
                taken.setdefault(tensor.name, declared.get(tensor.name, tensor))
    wanted = needed_after(version, unit)
    given = {tensor.name: tensor for tensor in version.signature.outputs}
    return Signature(
        inputs=tuple(taken.values()),
        outputs=tuple(given.get(name, tensor) for name, tensor in made.items() if name in wanted),
    )


def needed_after(version: Version, unit: Unit) -> frozenset[str]:
    """Names that later units or the client still ask for once `unit` is done."""
    place = [other.name for other in version.units].index(unit.name)
    names = {tensor.name for tensor in version.signature.outputs}
    for later in version.units[place + 1 :]:
        for stage in unit_stages(version, later):
            names.update(tensor.name for tensor in stage.signature.inputs)
    return frozenset(names)


def check_units(version: Version) -> None:
    """Raise BadDocument unless the units run every stage once, in order, and each tensor is made before it is used."""
    stages = [stage.name for stage in version.stages]
    if len(set(stages)) != len(stages):
        raise BadDocument(f"Two stages share a name: {', '.join(stages)}. Give each stage its own.")
    names = [unit.name for unit in version.units]
    if len(set(names)) != len(names):
        raise BadDocument(f"Two units share a name: {', '.join(names)}. Give each unit its own.")
    if [name for unit in version.units for name in unit.stages] != stages:
        raise BadDocument(
            f"The units must run the stages {', '.join(stages)} in that order, each once; they run "
            f"{' | '.join(', '.join(unit.stages) for unit in version.units)}."
        )
    if any(not unit.stages for unit in version.units):
        raise BadDocument("A unit has no stages. Give it one, or leave it out.")
    at_hand = {tensor.name: tensor for tensor in version.signature.inputs}
    for stage in version.stages:
        for tensor in stage.signature.inputs:
            check_fit(f"Stage {stage.name!r} takes", tensor, at_hand)
        for tensor in stage.signature.outputs:
            if tensor.name in at_hand:
                raise BadDocument(
                    f"Stage {stage.name!r} makes {tensor.name!r}, which is there already. Give it another name."
                )
            at_hand[tensor.name] = tensor
    for tensor in version.signature.outputs:
        check_fit("The version answers with", tensor, at_hand)


def check_fit(who: str, wanted: TensorSpec, at_hand: dict[str, TensorSpec]) -> None:
    found = at_hand.get(wanted.name)
    if found is None:
        raise BadDocument(f"{who} {wanted.name!r}, which nothing makes. At hand are {', '.join(at_hand) or 'none'}.")
    same_axes = len(found.shape) == len(wanted.shape) and all(
        a == b or -1 in (a, b) for a, b in zip(found.shape, wanted.shape, strict=True)
    )
    if found.datatype != wanted.datatype or not same_axes:
        raise BadDocument(
            f"{who} {wanted.name!r} as {wanted.datatype} {list(wanted.shape)}; "
            f"it is {found.datatype} {list(found.shape)}."
        )
