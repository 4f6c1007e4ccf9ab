"""Rollouts: moving traffic from stable to a canary in steps, as a machine that only looks and answers.

plan.py        what a plan must be, and its ladder of steps
freezes.py     whether traffic may rise at a given time
machine.py     one look: progress and facts in, progress out
intents.py     what an operator's numbered request does to it
document.py    the effective document of a model with a rollout, written whole
narrate.py     what changed, in words
planner.py     how long it takes and whom it exposes, before it is run
"""
