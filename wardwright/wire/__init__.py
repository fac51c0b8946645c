"""Pure codecs: bytes of a wire become values of the domain and back. Used by the edge and by the providers alike."""
