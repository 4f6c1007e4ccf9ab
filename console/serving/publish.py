"""The `spec` document of a model: what gateways and the controller work from."""

from console.lib.outbox import Stamp
from console.registry import store
from console.registry.models import Model, Version
from console.serving import selectors
from inference import spec


def build_model_spec(name: str, stamp: Stamp) -> spec.ModelSpec:
    """A model that is gone or archived is its tombstone."""
    model = Model.objects.filter(name=name).first()
    if model is None or model.archived_at is not None:
        return spec.ModelSpec(name=name, epoch=stamp.epoch, generation=stamp.generation, deleted=True)
    versions = tuple(build_version(version) for version in selectors.live_versions(model))
    traffic = selectors.traffic_of(model)
    cache = selectors.cache_policy_of(model)
    return spec.ModelSpec(
        name=name,
        epoch=stamp.epoch,
        generation=stamp.generation,
        versions=versions,
        aliases={alias.name: alias.version.number for alias in model.aliases.select_related("version")},
        traffic=spec.Traffic(
            weights=tuple(spec.Weight(version=row.version.number, percent=row.percent) for row in traffic.weights),
            assignment=spec.Assignment(traffic.assignment),
        ),
        cache=spec.CachePolicy(
            enabled=cache.enabled,
            strategy=cache.strategy,
            max_bytes=cache.max_bytes,
            max_entries=cache.max_entries,
            ttl_s=cache.ttl_s,
        ),
        slo=spec.Slo(latency_p95_s=model.slo_latency_p95_s, error_percent=model.slo_error_percent),
        pool=model.pool,
    )


def build_version(version: Version) -> spec.Version:
    """A live version; those have passed validation, so all of it is there."""
    assert version.artifact is not None
    files = tuple(
        spec.ArtifactFile(path=file.path, sha256=file.sha256, size_bytes=file.size_bytes)
        for file in version.artifact.files.all()
    )
    return spec.Version(
        number=version.number,
        digest=version.digest,
        format=spec.Format(version.format),
        artifact=spec.Artifact(digest=version.artifact.digest, files=files, store=store.store_url()),
        signature=version.signature_spec(),
        stages=version.stage_specs(),
        units=version.unit_specs(),
        native=bool(version.native_by),
    )
