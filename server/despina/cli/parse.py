"""Words of the command line → flags with their values, the way getopt_long reads them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from despina.cli.flag import Flag
from despina.cli.flags import FLAGS
from despina.cli.values import CommandLineError, leading_number


@dataclass(frozen=True, slots=True)
class Given:
    """One occurrence of a flag. `value` is what its parser made of the text, True for a flag without a value; `unread`
    the text of a number that something follows."""

    flag: Flag
    value: object
    unread: str = ""


def parse(words: Sequence[str]) -> list[Given]:
    """Read `--flag=value`, `--flag value` and unambiguous abbreviations, in order.

    A boolean flag with nothing behind it is true. Raises CommandLineError naming the flag.
    """
    return list(_read(words))


def _read(words: Sequence[str]) -> Iterator[Given]:
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not word.startswith("-"):
            raise _misplaced(word)
        if not word.startswith("--"):
            raise _unknown(word)
        name, equals, text = word.removeprefix("--").partition("=")
        flag = find_flag(name)
        if flag.metavar and not equals:
            following = words[position : position + 1]
            text = _following_value(flag, following)
            position += bool(following) and text is following[0]
        # Where a flag is our own nobody has a command line that relies on it.
        number = text if flag.own else leading_number(text, flag.metavar)
        yield Given(flag, _value(flag, number, bool(equals)), unread=text if number != text else "")


def _following_value(flag: Flag, following: Sequence[str]) -> str:
    if following and not (flag.boolean and following[0].startswith("--")):
        return following[0]
    if flag.boolean:
        return "true"
    raise CommandLineError(f'Bad option: "--{flag.name}".\nA value is missing: --{flag.name}={flag.metavar}')


def _value(flag: Flag, text: str, equals: bool) -> object:
    if not flag.metavar:
        if equals:
            raise CommandLineError(f'Bad option: "--{flag.name}".\nIt takes no value. Got {text}')
        return True
    try:
        return flag.parse(text)
    except CommandLineError as error:
        raise CommandLineError(f'Bad option: "--{flag.name}".\n{error.message}') from error


def find_flag(name: str) -> Flag:
    """The flag of that name, or the only one that starts with it."""
    exact = [flag for flag in FLAGS if flag.name == name]
    candidates = exact or [flag for flag in FLAGS if name and flag.name.startswith(name)]
    if len(candidates) > 1:
        candidates = [flag for flag in candidates if not flag.own]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        listed = ", ".join(f"--{flag.name}" for flag in candidates)
        raise CommandLineError(f'Bad option: "--{name}".\nIt could mean any of {listed}')
    raise _unknown(f"--{name}")


def _misplaced(word: str) -> CommandLineError:
    hint = f"\nDid you mean --model-repository={word}?" if os.path.exists(word) else ""
    return CommandLineError(f"Unexpected argument: {word}{hint}")


def _unknown(word: str) -> CommandLineError:
    nearest = get_close_matches(word.lstrip("-"), [flag.name for flag in FLAGS], 1)
    hint = f'; did you mean "--{nearest[0]}"?' if nearest else ""
    return CommandLineError(f'Bad option: "{word}".\nThere is no such flag{hint}')
