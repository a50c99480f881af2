"""Secrets: the encrypted envelope that backups (and the vault) share."""
