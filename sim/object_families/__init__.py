"""Families of objects, one module each: a function that builds one member from its measures, and the members.

A family is wholly for training or wholly novel; `knuckle.sim.objects` says which.
"""
