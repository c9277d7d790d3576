"""`python -m despina.cli.image_health`: exit status 0 when the server of this container is live; the images' check.

Where it listens, and how, is in the command line of the first process, with which a container is started.
"""

import http.client
import ssl
import sys
from pathlib import Path

from despina.cli.main import is_for_serve
from despina.cli.settings_from_flags import read_command_line
from despina.settings import Settings

FIRST = Path("/proc/1/cmdline")
SECONDS = 5.0
ALIVE = (200, 403)
"""Who restricts the API for health has a server that says so."""

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def settings_of(command: bytes) -> Settings:
    """Those of `despina serve`, or of `despina` with its flags, in a command line, as /proc has it; the usual ones of
    anything else, such as a shell. Raises CommandLineError, which the server has done before."""
    words = command.decode(errors="surrogateescape").split("\0")[:-1]
    names = [Path(word).name for word in words]
    given = words[names.index("despina") + 1 :] if "despina" in names else []
    if given and is_for_serve(given[0]):
        return read_command_line(given).settings
    return read_command_line(given[1:]).settings if given[:1] == ["serve"] else Settings()


def is_live(settings: Settings) -> bool:
    """Whether the server answers at its port. One without HTTP, or at a port that the system chose, cannot be asked."""
    if not settings.allow_http or settings.http_port == 0:
        return True
    connection = _connection(settings)
    wants_certificate = settings.http_tls_client_ca is not None  # of its clients: that it says so has to do
    try:
        connection.connect()
        if wants_certificate:
            return True
        connection.request("GET", "/v2/health/live")
        return connection.getresponse().status in ALIVE
    except ssl.SSLError:
        return wants_certificate
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _connection(settings: Settings) -> http.client.HTTPConnection:
    address = _ANY.get(settings.http_address, settings.http_address)
    if settings.http_tls_cert is None:
        return http.client.HTTPConnection(address, settings.http_port, timeout=SECONDS)
    context = ssl.create_default_context()
    # This asks whether the server lives, not who it is.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(address, settings.http_port, timeout=SECONDS, context=context)


def main() -> None:
    sys.exit(not is_live(settings_of(FIRST.read_bytes())))


if __name__ == "__main__":
    main()
