"""A virtual clock for the real policies: traffic, servers with cold starts, executors, faults; deterministic by seed.

Nothing here reads a clock or global chance. Time is `Simulation.now_s`, in seconds from the start; chance is a
generator that the caller seeds and passes in. So a run is repeated to the last bit by its seed.
"""
