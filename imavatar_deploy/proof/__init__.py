"""Proof: pictures of an avatar held against its implicit renders, at export and, without torch, on any machine."""
