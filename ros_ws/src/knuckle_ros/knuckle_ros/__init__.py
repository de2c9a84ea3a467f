"""knuckle on the ROS 2 bus: nodes, graphs and the commands that run them. The only code that imports rclpy."""
