"""TLS between machines: version 1.3 only, both sides show a certificate of the deployment's own CA.

A folder holds what `python -m inference certs` made: ca.pem, node.pem and node.key. Who holds a node certificate is
trusted as a node, gateway or worker, whatever its address: nodes move, so the CA is the identity and names are not
checked. No public CA is ever trusted.
"""

import ssl
from pathlib import Path

from inference.errors import SwitchyardError

CA, CERTIFICATE, KEY = "ca.pem", "node.pem", "node.key"


class BadCertificates(SwitchyardError):
    code = "certificates_bad"


def server_context(folder: Path) -> ssl.SSLContext:
    """For a worker: refuses clients without a certificate of the CA. Raises BadCertificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return prepare(context, folder)


def client_context(folder: Path) -> ssl.SSLContext:
    """For a gateway or controller: refuses workers without a certificate of the CA. Raises BadCertificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return prepare(context, folder)


def prepare(context: ssl.SSLContext, folder: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(folder / CA)
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    except (OSError, ssl.SSLError) as error:  # SSLError is an OSError; named for the reader
        raise BadCertificates(
            f"The certificates in {folder} cannot be used ({error}). Make them with "
            "'python -m inference certs --out DIR --node NAME' and copy ca.pem, node.pem and node.key there."
        ) from error
    return context
