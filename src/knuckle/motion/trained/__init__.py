"""Forecasters that come along, trained on simulated traffic alone: `LearnedForecaster("traffic")`."""
