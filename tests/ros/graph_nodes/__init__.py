"""Small nodes for the tests of the supervisor; each is a node module as a graph names them."""
