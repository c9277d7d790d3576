"""TLS of the inference port, and certificates of its clients."""

import ssl
from typing import TypedDict

from despina.errors import InvalidArgument
from despina.settings import Settings


class TlsOptions(TypedDict, total=False):
    """uvicorn's names for certificate, key, and the authorities whose client certificates are accepted."""

    ssl_certfile: str
    ssl_keyfile: str
    ssl_ca_certs: str
    ssl_cert_reqs: int


def tls_options(settings: Settings) -> TlsOptions:
    """Empty without a certificate. With a client CA, a client must show a certificate signed by it."""
    if settings.http_tls_cert is None:
        return {}
    options: TlsOptions = {"ssl_certfile": str(settings.http_tls_cert)}
    if settings.http_tls_key is not None:
        options["ssl_keyfile"] = str(settings.http_tls_key)
    if settings.http_tls_client_ca is not None:
        options["ssl_ca_certs"] = str(settings.http_tls_client_ca)
        options["ssl_cert_reqs"] = ssl.CERT_REQUIRED
    return options


def check_tls(settings: Settings) -> None:
    """Find out before models load whether the files are usable. Raises InvalidArgument."""
    if settings.http_tls_cert is None:
        if settings.http_tls_key or settings.http_tls_client_ca:
            raise InvalidArgument("--http-tls-key and --http-tls-client-ca need --http-tls-cert")
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.http_tls_cert, settings.http_tls_key)
    except OSError as error:
        files = f"--http-tls-cert '{settings.http_tls_cert}'"
        if settings.http_tls_key is not None:
            files += f" and --http-tls-key '{settings.http_tls_key}'"
        raise InvalidArgument(f"cannot use {files}: {_reason(error)}") from None
    if settings.http_tls_client_ca is not None:
        try:
            context.load_verify_locations(settings.http_tls_client_ca)
        except OSError as error:
            raise InvalidArgument(
                f"cannot use --http-tls-client-ca '{settings.http_tls_client_ca}': {_reason(error)}"
            ) from None


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
