"""understudy: a big model and a size budget in, a family of small verified models out."""
