"""Accounts, and who takes part in which project: members, links that invite, signing up by one, administration."""
