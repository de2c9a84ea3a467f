"""The page in the browser: what it shows and how it looks. Nothing in here knows the bus."""
