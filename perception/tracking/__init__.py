"""Following many boxes at once: one online tracker, motion models to exchange, data, scores and training."""
