"""What flags demand of each other (config §1.6, §4.2, §8)."""

from despina.cli.values import CommandLineError
from despina.settings import Settings


def check(settings: Settings) -> None:
    """Raise CommandLineError for the first rule that is broken."""
    _check_repository(settings)
    _check_http(settings)
    _check_tls(settings)


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
    http = (settings.http_address, settings.http_port)
    metrics = (settings.metrics_address, settings.metrics_port)
    if settings.allow_http and settings.allow_metrics and http == metrics and http[1] != 0:
        raise CommandLineError(
            "The server cannot listen to HTTP requests and metrics requests at the same address and port "
            f"{http[0]}:{http[1]}"
        )


def _check_tls(settings: Settings) -> None:
    cert, key = settings.http_tls_cert, settings.http_tls_key
    if (cert is None) != (key is None):
        raise CommandLineError("Error: '--http-tls-cert' and '--http-tls-key' need each other.")
    if settings.http_tls_client_ca is not None and cert is None:
        raise CommandLineError("Error: Use of '--http-tls-client-ca' requires '--http-tls-cert' as well.")
