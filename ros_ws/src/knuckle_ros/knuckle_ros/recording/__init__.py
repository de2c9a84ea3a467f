"""Recordings of the bus as MCAP files: written so that what is on the disk stays readable, and read again."""
