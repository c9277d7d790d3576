"""The text of `despina serve --help`."""

import textwrap

from despina.cli.flag import Flag
from despina.cli.flags import FLAGS
from despina.settings import Settings

_INDENT = " " * 8


def render_help() -> str:
    """All flags by section, each with one line and its default; what is not offered says why."""
    sections: dict[str, list[Flag]] = {}
    for flag in FLAGS:
        sections.setdefault(flag.section, []).append(flag)
    lines = ["Usage: despina serve [flags]", ""]
    for section, flags in sections.items():
        lines += [f"{section}:"] if section else []
        for flag in flags:
            lines += _entry(flag)
        lines.append("")
    return "\n".join(lines).rstrip()


def _entry(flag: Flag) -> list[str]:
    reason = flag.inert or flag.refused
    text = f"{'Ignored' if flag.inert else 'Not offered'}: {reason}." if reason else f"{flag.text}{_default(flag)}"
    return [
        f"  --{flag.name} {flag.metavar}".rstrip(),
        *textwrap.wrap(text, 110, initial_indent=_INDENT, subsequent_indent=_INDENT),
    ]


def _default(flag: Flag) -> str:
    default = flag.default if flag.default is not None else getattr(Settings(), flag.field, None)
    if flag.repeats or default is None or default == "":
        return ""
    return f" Default: {str(default).lower() if isinstance(default, bool) else default}."
