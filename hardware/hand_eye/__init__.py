"""Where a fixed camera stands, found from a marker on a fingertip that the hand moves about."""
