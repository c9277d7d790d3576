"""The JSON of a request as a document, with the real server's answer to keys that come twice: the first one wins.

The fast parser keeps the last one, and the one that can keep the first is slow. So the quotation marks are counted: as
many in the text as the parsed document needs means that nothing was dropped.
"""

from despina.protocol.json import Json, encode_string, loads, loads_first_wins


def parse_document(head: memoryview) -> Json:
    """Parse the JSON of a request; of a key that comes twice the first one counts. Raises Internal."""
    document = loads(head)
    if _repeats_a_key(bytes(head), document):
        return loads_first_wins(head)
    return document


_COUNTED_KEYS = (b'"id"', b'"inputs"', b'"outputs"', b'"datatype"', b'"shape"', b'"data"', b'"name"', b'"parameters"')

_MOST_COUNTED = 32
"""Keys of parameters. Each is counted in the whole text; the slow parser looks at it once."""


def _repeats_a_key(head: bytes, document: Json) -> bool:
    """Whether a key that counts may be there twice. The fast parser would then have kept the last one. A text that
    happens to look like a key only costs a second look."""
    if head.count(b'"') == _quotes(document):
        return False
    inputs = len(_entries(document, "inputs"))
    owners = [document, *_entries(document, "inputs"), *_entries(document, "outputs")]
    parameters = [owner["parameters"] for owner in owners if isinstance(owner, dict) and "parameters" in owner]
    limits = (1, 1, 1, inputs, inputs, inputs, len(owners) - 1, len(parameters))
    if any(head.count(key) > limit for key, limit in zip(_COUNTED_KEYS, limits, strict=True)):
        return True
    keys = {key for each in parameters if isinstance(each, dict) for key in each}
    return len(keys) > _MOST_COUNTED or any(_repeats_its_key(head, key, parameters) for key in keys)


def _repeats_its_key(head: bytes, key: str, parameters: list[Json]) -> bool:
    return head.count(encode_string(f'"{key}"')) > sum([isinstance(each, dict) and key in each for each in parameters])


def _entries(document: Json, key: str) -> list[Json]:
    entries = document.get(key) if isinstance(document, dict) else None
    return entries if isinstance(entries, list) else []


def _quotes(value: Json) -> int:
    """How many quotation marks the parsed `value` was written with, unless keys were dropped or marks escaped. Lists of
    anything but objects count as lists of numbers: where they hold strings, the count is merely too small."""
    count = 0
    pending = [value]
    while pending:
        value = pending.pop()
        if type(value) is dict:
            count += 2 * len(value)
            for item in value.values():
                if type(item) is str:
                    count += 2
                elif type(item) is dict:
                    pending.append(item)
                elif type(item) is list and item and type(item[0]) is dict:
                    pending += item
    return count
