import pytest
from benchmarks.publish import BEGIN, END, between


def test_only_what_lies_between_the_markers_changes() -> None:
    text = f"# A\n{BEGIN}\nold\n{END}\nrest {END}\n"
    assert between(text, "new") == f"# A\n{BEGIN}\nnew\n{END}\nrest {END}\n"
    assert between(between(text, "new"), "new") == between(text, "new")


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}"])
def test_without_both_markers_nothing_is_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"README\.md has no lines"):
        between(text, "new")
