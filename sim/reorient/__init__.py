"""Reorientation as a task to learn: goals, observation, reward, randomisation, starts, and many worlds at once.

`batch_world.BatchWorld` is the task; `vector_env` and `sb3_env` are its faces for Gymnasium and Stable-Baselines3.
After Visual Dexterity (Chen et al. 2023, arXiv 2211.11744).
"""
