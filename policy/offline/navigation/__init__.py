"""A point in the plane that was shown two ways to its goal: what O-DICE's gradients do, where it can be looked at.

`world` is the task and the recordings, `study` the comparison of the arms, `plots` its pictures.
"""
