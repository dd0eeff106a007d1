# Nothing in it but the other modules.
