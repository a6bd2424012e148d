"""Both kinds of clients on one image: who owns the lock, who asks for what, and what goes wrong meanwhile."""
