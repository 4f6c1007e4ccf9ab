"""Roles, scopes and preferences: value and label together, one truth for database, API and pages."""

from django.db import models


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    APPROVER = "approver", "Approver"
    ADMIN = "admin", "Admin"


class Scope(models.TextChoices):
    READ = "read", "Read"
    INFER = "infer", "Call models"
    OPERATE = "operate", "Operate"
    ROLLOUT = "rollout", "Approve rollouts"
    ADMIN = "admin", "Everything"


class Theme(models.TextChoices):
    SYSTEM = "system", "System"
    LIGHT = "light", "Light"
    DARK = "dark", "Dark"


ROLE_HELP: dict[str, str] = {
    Role.VIEWER: "Sees everything and may call models in the playground",
    Role.OPERATOR: "Also uploads versions, moves traffic, and starts and stops work",
    Role.APPROVER: "Also approves changes to protected models",
    Role.ADMIN: "Also manages people, keys and settings",
}
