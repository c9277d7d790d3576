from despina.remember import MAX_REMEMBERED, remember


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    known: dict[int, int] = {}
    for number in range(MAX_REMEMBERED + 1):
        assert remember(known, number, number) == number
    assert known == {MAX_REMEMBERED: MAX_REMEMBERED}


def test_there_may_be_less_room() -> None:
    known: dict[int, int] = {}
    for number in range(3):
        remember(known, number, number, 2)
    assert known == {2: 2}
