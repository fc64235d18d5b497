"""Compare arrays and images of an avatar with their reference: parity, image metrics, stages."""
