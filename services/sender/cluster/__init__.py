"""The workers among themselves: membership, shares, questions to peers."""
