"""Benchmarks: ``python -m perf tick|response|size [--json]``.

Each one runs ecsnet beside a *floor*, a program that moves the same datagrams and does no game
work, in one run and interleaved with it, and reports the ratio of the two. Absolute figures
belong to one machine at one minute; the ratios travel. Linux only: the programs are pinned to
cores and wait with epoll and timerfd.
"""
