"""Sensor streams: recordings, estimators of orientation, the guard around them, and their errors."""
