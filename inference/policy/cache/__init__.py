"""Caching that explains itself.

`store` is the cache that the gateway owns: get, put, remove, limits, counters. `registry` names the strategies, one a
file, that say who leaves. `adaptive` tries them on a sample and moves to the best. `curve`, `miniature` and `reuse` say
what more room or a longer life would bring, `admission` what is let in, `explain` why a key is there or is not.
"""
