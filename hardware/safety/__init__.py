"""The one way to a servo: limiter, states, stop latch, lease, and the guarded hand that joins them.

Pure logic over the contracts of ``hardware.spec``: no clock, no sleep, no ROS. Times are arguments.
"""
