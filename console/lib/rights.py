"""Rights: what may be done. A role or a key's scopes give a set of them; `can()` only looks into the set."""

READ = "read"
INFER = "infer"
OPERATE = "operate"
APPROVE = "approve"
ADMIN = "admin"
NATIVE = "native"  # register formats that run code when loaded

EVERY_RIGHT = frozenset({READ, INFER, OPERATE, APPROVE, ADMIN, NATIVE})

# Each role has all that the role before it has.
ROLE_RIGHTS: dict[str, frozenset[str]] = {
    "viewer": frozenset({READ, INFER}),
    "operator": frozenset({READ, INFER, OPERATE}),
    "approver": frozenset({READ, INFER, OPERATE, APPROVE}),
    "admin": frozenset({READ, INFER, OPERATE, APPROVE, ADMIN}),
}

# A scope that changes things includes reading them; `infer` stands alone, for a client that just calls models.
SCOPE_RIGHTS: dict[str, frozenset[str]] = {
    "read": frozenset({READ}),
    "infer": frozenset({INFER}),
    "operate": frozenset({READ, OPERATE}),
    "rollout": frozenset({READ, APPROVE}),
    "admin": EVERY_RIGHT,
}


def least_role(right: str) -> str:
    """The lowest role that has the right; for `native`, which no role has, the one that grants it."""
    return next((role for role, rights in ROLE_RIGHTS.items() if right in rights), "admin")
