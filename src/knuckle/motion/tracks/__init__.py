"""Tracks to learn from and to score on: KITTI's in the world, Argoverse 2's, and simulated ones."""
