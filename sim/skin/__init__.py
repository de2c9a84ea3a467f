"""A simulated magnetic skin that feels a stylus write: signals of five magnetometers, and how the tip moved."""
