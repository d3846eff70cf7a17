"""Teachers that users bring: whatever gives logits for a batch of texts, one file per framework."""
