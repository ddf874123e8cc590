"""Who runs when: the queue, its places, and how long who waits."""
