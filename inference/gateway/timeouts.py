"""How long a client may take, looked after by one sweep over all connections: a timer for each request would cost more
than answering it."""

from inference.errors import SlowClient
from inference.gateway.http import LINGER_S, Connection


def sweep(connection: Connection, now_s: float) -> None:
    """End what takes too long in the phase it is in."""
    config = connection.server.config
    if connection.paused_since_s:
        if now_s - connection.paused_since_s > config.body_timeout_s:
            connection.abort()
    elif connection.active is not None or connection.pending:
        return
    elif connection.lingering_since_s:
        if now_s - connection.lingering_since_s > LINGER_S:
            connection.abort()
    elif connection.reader.head is None:
        # A new connection that never says anything is a slow head; later silence is keep-alive.
        if now_s - connection.since_s > (
            config.idle_timeout_s if connection.reader.head_done else config.header_timeout_s
        ):
            if connection.transport.is_closing():  # it does not take the end of its last answer
                connection.abort()
            connection.transport.close()
    elif not connection.reader.head_done and now_s - connection.since_s > config.header_timeout_s:
        connection.refuse(SlowClient(f"The request head did not come whole within {config.header_timeout_s:g} s."))
    elif connection.reader.head_done and now_s - connection.since_s > config.body_timeout_s:
        connection.refuse(SlowClient(f"The request body did not come whole within {config.body_timeout_s:g} s."))
