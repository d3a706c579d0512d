"""What builds and documents Tailrace. Of this only the launcher's text and the shims go into the layer."""
