"""Asking the entry script of a service, as `despina service run` and the SDK do."""

import urllib.error
import urllib.request

from despina.errors import Unavailable


def post_input(name: str, uri: str, data: bytes, key: str | None) -> bytes:
    """Posts input to the scoring URI of service `name`, as JSON; the body of the answer. Raises Unavailable: it cannot
    be reached, or answers with anything but success."""
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    try:
        with urllib.request.urlopen(urllib.request.Request(uri, data, headers)) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        raise Unavailable(f"received {error.code} from service {name}: {text}") from None
    except urllib.error.URLError as error:
        raise Unavailable(f"service {name} cannot be reached: {error.reason}") from None
    return body
