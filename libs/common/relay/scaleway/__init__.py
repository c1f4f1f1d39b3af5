"""Scaleway Transactional Email."""
