"""What a hand is and how one is spoken to: HandSpec, forward kinematics, link clouds, the action map, the contracts."""
