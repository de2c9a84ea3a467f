"""What every room may import: errors, configuration, rotations, cards and figures."""
