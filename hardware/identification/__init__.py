"""System identification: stiffness, damping and velocity limit of servos from recorded motions of one finger.

`motions` plans steps and sines that touch nothing, `record` plays them on a guarded hand, `servo_fit` fits a simulated
finger to what was measured by CMA-ES, `identified` keeps the result, bound to its hand, and puts it into a HandSpec.
The simulator is an argument: this room knows none.
"""
