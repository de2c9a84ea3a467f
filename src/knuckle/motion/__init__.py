"""Forecasts of what moves around the hand: where it will be, with which probability, and what a body cannot do."""
