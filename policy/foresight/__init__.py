"""Foresight: what chunks of postures do to objects, labelled by simulation and learned, so that no simulation is needed
where a policy chooses between them."""
