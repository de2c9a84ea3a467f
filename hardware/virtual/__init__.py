"""Virtual devices: servos and what is around them, spoken to as the real ones are, byte for byte."""
