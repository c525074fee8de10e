"""The published models as plain torch modules: they need torch, transformers and numpy, nothing of this project."""
