"""The certificate that clients see, and its renewal without a restart: whoever renews it just replaces the files.

A context stands for as long as the process; what changes is the chain in it, for handshakes from then on. New files are
tried in a context of their own first, so that half a pair, or a key of another certificate, changes nothing.
"""

import ssl
from pathlib import Path
from time import monotonic

from inference.config import BadSetting, Config
from inference.log import get_log

log = get_log()

LOOK_S = 1.0
NO_PASSWORD = ""  # said, so that OpenSSL refuses a locked key instead of asking a terminal for its password

Stamps = tuple[tuple[int, int, int], ...]


class EdgeCertificate:
    def __init__(self, certificate: Path, key: Path):
        """Raises OSError (ssl.SSLError is one) for files that cannot be used."""
        self.certificate, self.key = certificate, key
        self.context = make_context()
        self.stamps = self.look()
        self.context.load_cert_chain(certificate, key, NO_PASSWORD)
        self.looked_at_s = monotonic()

    def look(self) -> Stamps:
        stats = [path.stat() for path in (self.certificate, self.key)]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)

    def refresh(self) -> bool:
        """Take up changed files; whether there were any. Costs two stats a second."""
        now_s = monotonic()
        if now_s - self.looked_at_s < LOOK_S:
            return False
        self.looked_at_s = now_s
        try:
            stamps = self.look()
            if stamps == self.stamps:
                return False
            make_context().load_cert_chain(self.certificate, self.key, NO_PASSWORD)
            self.context.load_cert_chain(self.certificate, self.key, NO_PASSWORD)
        except OSError as error:
            # Looked at again in a second: the other half of the pair may be on its way.
            log.warning("certificate_not_renewed", certificate=str(self.certificate), error=str(error))
            return False
        self.stamps = stamps
        log.info("certificate_renewed", certificate=str(self.certificate))
        return True


def make_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def read_certificate(config: Config) -> EdgeCertificate | None:
    """What the configuration names; None without TLS. Raises BadSetting."""
    if not config.tls_cert and not config.tls_key:
        return None
    if not (config.tls_cert and config.tls_key):
        raise BadSetting("SWITCHYARD_TLS_CERT and SWITCHYARD_TLS_KEY go together; one of them is empty.")
    try:
        return EdgeCertificate(Path(config.tls_cert), Path(config.tls_key))
    except OSError as error:
        raise BadSetting(
            f"SWITCHYARD_TLS_CERT={config.tls_cert!r}, SWITCHYARD_TLS_KEY={config.tls_key!r}: not usable ({error}). "
            "They take PEM files: the certificate with its chain, and its key without a password."
        ) from None
