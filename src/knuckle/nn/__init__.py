"""What several learned models share: sequence layers that run sample by sample, and the kernels beneath them."""
