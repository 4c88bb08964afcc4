"""The garbage collector's settings in processes whose answers are counted in milliseconds."""

import gc

# So many containers are made and not freed before the collector looks for cycles among the young ones. What a command makes is
# freed without it; a rare look costs less than one every two or three commands.
YOUNG = 10_000


def keep_what_is_loaded() -> None:
    """Never look through what is there already; for a process that has loaded everything it needs.

    A full collection goes through every object, and of those there are hundreds of thousands when Django is loaded: 50 to 100 ms
    in which nothing is answered. They are here to stay, so they are set aside.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
