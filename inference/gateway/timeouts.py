"""How long a client may take, looked after by one sweep over all connections: a timer for each request would cost more
than answering it."""

from inference.errors import SlowClient
from inference.gateway.http import LINGER_S, Connection


def sweep(connection: Connection, now_s: float) -> bool:
    """End what takes too long in the phase it is in; whether it did."""
    config, reader = connection.server.config, connection.reader
    if connection.paused_since_s:
        if now_s - connection.paused_since_s <= config.body_timeout_s:
            return False
        connection.abort()
    elif connection.active is not None or connection.pending:
        return False
    elif connection.lingering_since_s:
        if now_s - connection.lingering_since_s <= LINGER_S:
            return False
        connection.abort()
    elif now_s - connection.since_s <= patience_s(connection):
        return False
    elif reader.head is None:
        if connection.transport.is_closing():  # it does not take the end of its last answer
            connection.abort()
        connection.transport.close()
    elif not reader.head_done:
        connection.refuse(SlowClient(f"The request head did not come whole within {config.header_timeout_s:g} s."))
    else:
        connection.refuse(SlowClient(f"The request body did not come whole within {config.body_timeout_s:g} s."))
    return True


def patience_s(connection: Connection) -> float:
    """For the head or the body that is coming. A new connection that says nothing is a slow head, later silence is
    keep-alive."""
    config, reader = connection.server.config, connection.reader
    if reader.head is None:
        return config.idle_timeout_s if reader.head_done else config.header_timeout_s
    return config.body_timeout_s if reader.head_done else config.header_timeout_s
