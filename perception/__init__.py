"""From depth images to labelled point clouds in the hand's frame: one builder for training and for the bus."""
