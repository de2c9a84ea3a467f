"""Building knuckle_msgs and tf2_msgs from ROS wheels alone, without a ROS installation and without importing rclpy."""
