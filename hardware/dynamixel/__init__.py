"""The driver of hands on Dynamixel servos: a port and its one owner, discovery, configuration, cycle and Hand."""
