from despina.models.round import Round


async def test_a_model_is_changed_once_however_many_ask():
    changed = []

    async def change(name, round_):
        if name == "ensemble":
            await round_.outcomes(["a", "b"])
        changed.append(name)

    round_ = Round(change)
    outcomes = await round_.outcomes(["a", "ensemble"])
    assert outcomes == {"a": None, "ensemble": None}
    assert sorted(round_.names) == ["a", "b", "ensemble"]
    assert sorted(changed) == ["a", "b", "ensemble"]
    assert changed[-1] == "ensemble"


async def test_everybody_who_asks_gets_the_failure():
    async def change(name, round_):
        raise ValueError(name)

    round_ = Round(change)
    first, second = await round_.outcome("a"), await round_.outcome("a")
    assert first is second
    assert isinstance(first, ValueError)
    assert first.__traceback__ is None
