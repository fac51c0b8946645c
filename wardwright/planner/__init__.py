"""Route planning as pure functions: what a request needs, which targets can serve it, in which order, and what follows a failure."""
