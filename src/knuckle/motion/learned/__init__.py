"""Networks that forecast: histories in the body's frame to mixtures of six kinematic motions, or what rivals give."""
