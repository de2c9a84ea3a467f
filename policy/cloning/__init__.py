"""Cloning: a state policy from a planner's episodes, its labels smoothed, weighted by what came of them, and asked for
again where the learner itself goes.

`rows` makes labels of episodes, `fit` learns them, `relabel` and `dagger` ask the planner again; `warm_start` gives a
policy to another learner to begin from.
"""
