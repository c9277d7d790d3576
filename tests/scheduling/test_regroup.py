from despina.scheduling.regroup import Regroup

US = 1_000
LONG = 10 * Regroup.WAIT_NS


def test_without_a_batch_on_the_loop_nobody_waits() -> None:
    regroup = Regroup()
    assert not regroup.waits(1, 0)
    regroup.ran(4)
    regroup.ran(0)
    assert not regroup.waits(1, 0)


def test_one_client_alone_never_waits() -> None:
    regroup = Regroup()
    for now in range(0, 10 * LONG, LONG):
        regroup.ran(1)
        assert not regroup.waits(0, now)
        assert not regroup.waits(1, now + 50 * US)


def test_two_groups_become_one() -> None:
    regroup = Regroup()
    regroup.ran(2)
    assert regroup.waits(2, 0)  # two asked while it ran
    assert regroup.waits(3, 20 * US)
    assert not regroup.waits(4, 40 * US)
    regroup.ran(4)
    assert not regroup.waits(0, 100 * US)
    assert regroup.waits(1, 150 * US)
    assert not regroup.waits(4, 160 * US)


def test_who_does_not_come_back_is_waited_for_once_and_not_long() -> None:
    regroup = Regroup()
    regroup.ran(4)
    assert not regroup.waits(0, 0)
    assert regroup.waits(3, LONG)
    assert regroup.waits(3, LONG + Regroup.WAIT_NS - 1)
    assert not regroup.waits(3, LONG + Regroup.WAIT_NS)
    regroup.ran(3)
    assert not regroup.waits(0, 2 * LONG)
    assert not regroup.waits(3, 2 * LONG)


def test_after_waiting_in_vain_some_batches_do_not_wait() -> None:
    regroup = Regroup()
    now = 0

    def meet() -> bool:
        """One asks while another one's batch runs; whether that one is waited for, in vain."""
        nonlocal now
        now += LONG
        regroup.ran(1)
        if not regroup.waits(1, now):
            return False
        assert not regroup.waits(1, now + Regroup.WAIT_NS)
        return True

    assert meet()
    assert [meet() for _ in range(Regroup.SKIPPED)] == [False] * Regroup.SKIPPED
    assert meet()


def test_a_wait_in_which_somebody_came_was_not_in_vain() -> None:
    regroup = Regroup()
    regroup.ran(4)
    assert regroup.waits(2, 0)
    assert regroup.waits(3, 1)
    assert not regroup.waits(3, Regroup.WAIT_NS)
    regroup.ran(3)
    assert regroup.waits(1, LONG)
