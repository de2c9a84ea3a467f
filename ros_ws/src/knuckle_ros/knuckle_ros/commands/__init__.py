"""What the command line runs of the bus, one module a command; none imports rclpy before it runs."""
