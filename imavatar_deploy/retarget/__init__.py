"""Retargeting: one vocabulary of faces (ARKit's 52 shapes, a head model's expressions) put into another's words."""
