"""The protocol over gRPC: the service `inference.GRPCInferenceService`, on HTTP/2 connections of our own."""
