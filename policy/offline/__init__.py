"""Learning a policy from recorded transitions alone: O-DICE as published, and its rivals on the same rows.

`transitions` is what every learner reads; one learner a file: `odice`, `bc`, `iql`, `td3_bc`, `cql`.
"""
