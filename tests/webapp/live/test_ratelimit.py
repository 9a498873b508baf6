"""How fast one connection may speak."""

from webapp.live.ratelimit import TokenBucket


def test_burst_then_rate():
    now = [0.0]
    bucket = TokenBucket(rate=2.0, burst=3, clock=lambda: now[0])
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now[0] = 1.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]


def test_pause_saves_up_no_more_than_the_burst():
    now = [0.0]
    bucket = TokenBucket(rate=2.0, burst=3, clock=lambda: now[0])
    now[0] = 1000.0
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
