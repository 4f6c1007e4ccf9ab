"""Who is calling: a look-up of the sha256 of the bearer's key. Gateways never hold a key itself."""

from hashlib import sha256

from inference.errors import BadKey, MissingKey, ModelNotAllowed, ScopeMissing
from inference.spec import ApiKey, KeysSpec

BEARER = b"bearer "
ADMIN = "admin"  # holds every scope


class KeyTable:
    """All valid keys, by digest. Empty without a document: nobody is let in on no news."""

    def __init__(self, document: KeysSpec | None = None):
        self.by_digest = {key.sha256: key for key in document.keys} if document else {}

    def authenticate(self, authorization: bytes | None, now_s: float) -> ApiKey:
        """The key behind an Authorization header. Raises MissingKey or BadKey."""
        if not authorization or authorization[:7].lower() != BEARER:
            raise MissingKey
        key = self.by_digest.get(sha256(authorization[7:].strip()).hexdigest())
        if key is None:
            raise BadKey
        if key.expires_at_s is not None and key.expires_at_s <= now_s:
            raise BadKey("has expired")
        return key


def require_scope(key: ApiKey, *scopes: str) -> None:
    """Raise ScopeMissing unless the key has one of `scopes`."""
    if ADMIN in key.scopes:
        return
    for scope in scopes:
        if scope in key.scopes:
            return
    raise ScopeMissing(scopes[0])


def check_key(key: ApiKey, model: str) -> None:
    """Raise Refused kinds unless the key may ask this model for inference."""
    require_scope(key, "infer")
    require_model(key, model)


def may_call(key: ApiKey, model: str) -> bool:
    return key.models is None or model in key.models


def require_model(key: ApiKey, model: str) -> None:
    if not may_call(key, model):
        raise ModelNotAllowed(model)
