"""knuckle: a dexterous robot hand that sees, feels, predicts and acts on one ROS 2 bus."""

__version__ = "0.1.0"
