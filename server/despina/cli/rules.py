"""What flags demand of each other (config §1.6, §4.2, §8)."""

from itertools import combinations

from despina.cli.values import CommandLineError
from despina.settings import Settings


def check(settings: Settings) -> None:
    """Raise CommandLineError for the first rule that is broken."""
    _check_repository(settings)
    _check_http(settings)
    _check_ports(settings)
    _check_tls(settings)
    _check_grpc_tls(settings)


def _check_repository(settings: Settings) -> None:
    if not settings.model_repository and settings.exit_on_error:
        raise CommandLineError("error: creating server: Invalid argument - --model-repository must be specified")
    if settings.load_model and settings.model_control_mode != "explicit":
        raise CommandLineError("Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well.")
    if "*" in settings.load_model and len(settings.load_model) > 1:
        raise CommandLineError("Wildcard model name '*' must be the ONLY startup model if specified at all.")


def _check_http(settings: Settings) -> None:
    if settings.http_max_input_size <= 0:
        raise CommandLineError("Error: --http-max-input-size must be greater than 0.")


def _check_ports(settings: Settings) -> None:
    services = (
        ("HTTP", settings.allow_http, settings.http_address, settings.http_port),
        ("GRPC", settings.allow_grpc and settings.grpc_required, settings.grpc_address, settings.grpc_port),
        ("metrics", settings.allow_metrics, settings.metrics_address, settings.metrics_port),
    )
    listening = [(name, address, port) for name, allowed, address, port in services if allowed and port != 0]
    for (one, address, port), (other, *place) in combinations(listening, 2):
        if [address, port] == place:
            raise CommandLineError(
                f"The server cannot listen to {one} requests and {other} requests at the same address and port "
                f"{address}:{port}"
            )


def _check_tls(settings: Settings) -> None:
    cert, key = settings.http_tls_cert, settings.http_tls_key
    if (cert is None) != (key is None):
        raise CommandLineError("Error: '--http-tls-cert' and '--http-tls-key' need each other.")
    if settings.http_tls_client_ca is not None and cert is None:
        raise CommandLineError("Error: Use of '--http-tls-client-ca' requires '--http-tls-cert' as well.")


def _check_grpc_tls(settings: Settings) -> None:
    if not settings.allow_grpc or not settings.grpc_use_ssl:
        return
    if settings.grpc_server_cert is None or settings.grpc_server_key is None:
        raise CommandLineError(
            "Error: Use of '--grpc-use-ssl' requires '--grpc-server-cert' and '--grpc-server-key' as well."
        )
    if settings.grpc_use_ssl_mutual and settings.grpc_root_cert is None:
        raise CommandLineError("Error: Use of '--grpc-use-ssl-mutual' requires '--grpc-root-cert' as well.")
