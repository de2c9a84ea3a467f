"""Where each servo's zero lies: the calibration file, bound to one hand, and how it is made."""
