// Placeholder: the target's files follow.
