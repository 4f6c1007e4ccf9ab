"""The admin port: `/metrics`, `/healthz`, `/readyz`, apart from inference, so that it answers when that is full."""

from collections.abc import Callable

import msgspec

from inference.errors import MethodNotAllowed, NotReady, PathNotFound, SwitchyardError
from inference.gateway.errors import error_response
from inference.gateway.exchange import Head, Request, Response, Running
from inference.gateway.exposition import render_metrics
from inference.gateway.heads import refuse_body
from inference.gateway.report import ProcessReport
from inference.metrics import CONTENT_TYPE


class Admin:
    """An HTTP application over `report`, which gives the state of all processes now."""

    def __init__(self, report: Callable[[], ProcessReport]):
        self.report = report

    def admit(self, head: Head) -> None:
        """Everything here is open to who may reach the port."""
        refuse_body(head)

    def still_admits(self, head: Head) -> bool:
        return True

    def refusal(self, error: SwitchyardError, head: Head | None) -> Response:
        return error_response(error)

    def handle(self, request: Request, respond: Callable[[Response], None]) -> Running | None:
        try:
            respond(self.read(request))
        except SwitchyardError as error:
            respond(error_response(error))
        return None

    def read(self, request: Request) -> Response:
        if request.method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed(request.method.decode("ascii", "replace"), "GET")
        match request.url.partition(b"?")[0]:
            case b"/metrics":
                return Response(200, render_metrics(self.report()).encode(), CONTENT_TYPE.encode())
            case b"/healthz":
                return Response(200, b'{"live":true}')
            case b"/readyz":
                return ready_response(self.report())
        raise PathNotFound("The admin port has /metrics, /healthz and /readyz.")


def ready_response(report: ProcessReport) -> Response:
    if not report.ready:
        raise NotReady(report.why_not or "This gateway is not ready.")
    return Response(200, msgspec.json.encode({"ready": True, "processes": report.processes}))
