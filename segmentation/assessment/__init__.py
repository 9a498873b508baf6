"""How right a map is, and how much of each class there really is, from a probability sample of reference points."""
