"""The RealSense driver: librealsense in a process of its own, which may hang or crash without taking the hand along."""
