"""HTTP/2 (RFC 9113) for a server of unary and streamed calls: frames, header blocks, flow control, connections."""
