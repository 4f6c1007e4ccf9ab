"""The type of a request whose page was guarded: its user is a person of ours, never the anonymous one."""

from django.http import HttpRequest

from console.accounts.models import User


class PersonRequest(HttpRequest):
    user: User
