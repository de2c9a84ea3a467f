"""Learned policies: what is deployed (card and ONNX, no torch), and how it is trained.

At work: `learned_policy` reads a folder of `policy_card` and network. Training: `train_command` and what it calls.
"""
