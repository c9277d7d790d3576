"""TLS of the port for gRPC."""

import ssl
from pathlib import Path

from despina.errors import InvalidArgument
from despina.settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What `--grpc-use-ssl` asks for, and otherwise what HTTP has: who guards one door means the other one, too. None
    without either. Raises InvalidArgument for files that cannot be used."""
    if settings.grpc_use_ssl or settings.grpc_use_ssl_mutual:
        authority = settings.grpc_root_cert if settings.grpc_use_ssl_mutual else None
        return _context(settings.grpc_server_cert, settings.grpc_server_key, authority)
    if settings.http_tls_cert is not None:
        return _context(settings.http_tls_cert, settings.http_tls_key, settings.http_tls_client_ca)
    return None


def _context(certificate: Path | None, key: Path | None, authority: Path | None) -> ssl.SSLContext:
    """Clients must show a certificate signed by the authority, if there is one."""
    if certificate is None:
        raise InvalidArgument("--grpc-use-ssl needs --grpc-server-cert and --grpc-server-key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(certificate, key)
        if authority is not None:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        files = ", ".join(f"'{path}'" for path in (certificate, key, authority) if path is not None)
        raise InvalidArgument(f"cannot use {files} for gRPC: {error.strerror or error}") from None
    return context
