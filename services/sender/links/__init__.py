"""Rewriting of links and the open pixel in an html body."""
