"""Sorts of requests, one against the other: what a server does well with one of them it may do badly with the next.

`catalogue` lists them, `served` the models they are sent to.
"""
