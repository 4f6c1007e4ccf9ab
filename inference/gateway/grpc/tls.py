"""TLS for gRPC: the certificate of the HTTP edge, renewed with it."""

import grpc

from inference.gateway.certificates import EdgeCertificate
from inference.log import get_log

log = get_log()


def credentials_of(certificate: EdgeCertificate) -> grpc.ServerCredentials:
    """Credentials that follow the certificate: before each handshake gRPC asks whether it has changed. Raises OSError.

    Whether it has, and whether the new files fit together, the HTTP edge finds out once a second.
    """
    taken = certificate.stamps

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal taken
        stamps = certificate.stamps
        if stamps == taken:
            return None
        try:
            fresh = read(certificate)
        except OSError as error:  # gone again: the last one stands
            log.warning("certificate_not_renewed", certificate=str(certificate.certificate), error=str(error))
            return None
        taken = stamps
        return fresh

    return grpc.dynamic_ssl_server_credentials(read(certificate), renewed)


def read(certificate: EdgeCertificate) -> grpc.ServerCertificateConfiguration:
    pair = (certificate.key.read_bytes(), certificate.certificate.read_bytes())
    return grpc.ssl_server_certificate_configuration([pair])
