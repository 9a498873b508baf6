"""Learning features from images alone: encoder, training, networks as files."""
