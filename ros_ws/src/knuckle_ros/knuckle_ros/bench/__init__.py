"""Nodes that only load and time the bus, for `knuckle bench bus`."""
