"""Images of one size: read from NPZ, standardised by channel; requests as numbers, PNG or JPEG."""
