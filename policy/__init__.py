"""What moves the hand: the policy contract, planning by sampled rollouts, and the judging of reorientation."""
