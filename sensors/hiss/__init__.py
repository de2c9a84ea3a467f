"""HiSS (Bhirangi et al., ICML 2024, arXiv 2402.10211) and its flat rivals: from raw sensor streams to states."""
