"""Hindsight: a second learner of reorientation, off-policy. TD3 (Fujimoto et al., 2018) with hindsight goals
(Andrychowicz et al., 2017), the planner's episodes in the replay, and an actor that begins as a trained policy does.

`hindsight_reward` says what a transition is worth, so that it can be said again for another goal; `replay` and
`planner_episodes` hold transitions, `hindsight_batch` mixes, relabels and turns them; `learner` is one update,
`hindsight_run` collects and learns.
"""
