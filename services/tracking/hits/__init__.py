"""Opens and clicks: the public routes, and the facts made of them."""
