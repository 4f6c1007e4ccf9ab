"""What can be done to people, keys and the record: one function an action, called by pages, API and commands alike."""

from console.accounts.services.audit import ChainCheck, record, verify_chain
from console.accounts.services.keys import (
    console_key,
    create_api_key,
    note_key_use,
    revoke_api_key,
    rotate_api_key,
    update_api_key,
)
from console.accounts.services.login import consume_login_link, create_login_link, forget_admin_password
from console.accounts.services.people import (
    change_preferences,
    create_admin,
    create_user,
    deactivate_user,
    set_password,
    update_user,
)

__all__ = [
    "ChainCheck",
    "change_preferences",
    "console_key",
    "consume_login_link",
    "create_admin",
    "create_api_key",
    "create_login_link",
    "create_user",
    "deactivate_user",
    "forget_admin_password",
    "note_key_use",
    "record",
    "revoke_api_key",
    "rotate_api_key",
    "set_password",
    "update_api_key",
    "update_user",
    "verify_chain",
]
