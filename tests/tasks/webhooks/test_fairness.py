"""Which hosts and keys get a place, by a clock that the test moves."""

from uuid import UUID

from tasks.webhooks.fairness import AT_ONCE, AT_ONCE_OF_A_KEY, AT_ONCE_TO_A_HOST, FIRST_PAUSE, UNANSWERED, Fairness

ONE, OTHER = UUID(int=1), UUID(int=2)


def test_a_host_has_few_places() -> None:
    fairness = Fairness()
    for number in range(AT_ONCE_TO_A_HOST):
        assert fairness.busy_hosts() == []
        fairness.begin("a", UUID(int=number + 1))
    assert fairness.busy_hosts() == ["a"]
    fairness.end("a", ONE, answered=True)
    assert fairness.busy_hosts() == []


def test_a_key_has_its_share_and_more_while_nobody_wants_it() -> None:
    fairness = Fairness()
    for number in range(AT_ONCE // 2):
        assert fairness.busy_keys(sharing=True) == []
        fairness.begin(f"host {number}", ONE)
    assert fairness.busy_keys(sharing=True) == [ONE]
    assert fairness.busy_keys(sharing=False) == []
    for number in range(AT_ONCE_OF_A_KEY - AT_ONCE // 2):
        fairness.begin(f"more {number}", ONE)
    assert fairness.busy_keys(sharing=False) == [ONE]
    assert not fairness.full
    for number in range(AT_ONCE - AT_ONCE_OF_A_KEY):
        assert OTHER not in fairness.busy_keys(sharing=True)
        fairness.begin(f"other {number}", OTHER)
    assert fairness.full


def test_a_host_that_does_not_answer_is_left_alone_for_longer_and_longer() -> None:
    now = [1000.0]
    fairness = Fairness(lambda: now[0])

    def attempt(answered: bool | None) -> None:
        fairness.begin("a", ONE)
        fairness.end("a", ONE, answered)

    for _ in range(UNANSWERED):
        assert fairness.busy_hosts() == []
        attempt(answered=False)
    for pause in (FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE):
        now[0] += pause - 1
        assert fairness.busy_hosts() == ["a"]
        now[0] += 1
        assert fairness.busy_hosts() == []
        fairness.begin("a", ONE)
        assert fairness.busy_hosts() == ["a"], "one attempt at a time shows whether it answers"
        fairness.end("a", ONE, answered=False)
    now[0] += 8 * FIRST_PAUSE
    attempt(answered=None)
    assert fairness.busy_hosts() == []
    attempt(answered=True)
    for _ in range(UNANSWERED):
        assert fairness.busy_hosts() == []
        attempt(answered=False)
