"""What stays for the life of a process is out of the collector's sight; what comes later is not."""

import gc
import weakref

from webapp.collector import spare_what_stays


class Knot:
    def __init__(self):
        self.own = self


def test_what_is_there_is_spared_and_later_garbage_is_still_collected():
    try:
        garbage = weakref.ref(Knot())
        spare_what_stays(collect=True)
        assert garbage() is None
        assert gc.get_freeze_count() > 1000
        later = weakref.ref(Knot())
        gc.collect()
        assert later() is None
    finally:
        gc.unfreeze()
