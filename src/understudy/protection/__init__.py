"""Signatures of bundles and encryption of their files: key files, Ed25519, and the envelope of ``spec/encryption.md``."""
