"""Benchmarks: ``python -m perf --help`` names them.

Each one runs ecsnet beside a *floor*, which moves the same datagrams or values and does no game
work, in one run and interleaved with it, and reports the ratio of the two. Absolute figures
belong to one machine at one minute; the ratios travel. Linux only: the programs are pinned to
cores and wait with epoll and timerfd.
"""
