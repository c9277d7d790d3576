"""The two keys of a service, either of which opens it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hmac import compare_digest

from despina.deploy.value_kinds import is_key
from despina.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Keys:
    """Two, so that one can be replaced while clients use the other."""

    primary: str
    secondary: str

    def to_json(self) -> dict[str, str]:
        return {"primaryKey": self.primary, "secondaryKey": self.secondary}

    @classmethod
    def from_json(cls, document: Mapping[str, str]) -> "Keys":
        return cls(document["primaryKey"], document["secondaryKey"])


def new_key() -> str:
    """256 random bits, in characters that fit a header."""
    return secrets.token_urlsafe(32)


def make_keys(primary: str | None = None, secondary: str | None = None) -> Keys:
    """The keys given, and new ones for those that are not."""
    return Keys(primary or new_key(), secondary or new_key())


def regenerate(keys: Keys, which: str, value: str | None = None) -> Keys:
    """Replaces the `Primary` or the `Secondary` key, by `value` or a new one. Raises InvalidArgument: `which` is
    neither, or `value` cannot be sent in a header."""
    if value is not None and not is_key(value):
        raise InvalidArgument("a key must be printable ASCII without blanks")
    match which.lower():
        case "primary":
            return replace(keys, primary=value or new_key())
        case "secondary":
            return replace(keys, secondary=value or new_key())
    raise InvalidArgument(f"key {which!r}: expected Primary or Secondary")


def opens(keys: Keys, authorization: bytes | None) -> bool:
    """Whether an Authorization header carries one of the keys. Takes the same time whichever is wrong, and where."""
    scheme, _, given = (authorization or b"").partition(b" ")
    primary = compare_digest(given.strip(), keys.primary.encode())
    secondary = compare_digest(given.strip(), keys.secondary.encode())
    return scheme.lower() == b"bearer" and given.strip() != b"" and (primary or secondary)
