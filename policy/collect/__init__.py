"""Episodes of a controller, collected to learn from: recorded one file each, and written as a Minari data set."""
