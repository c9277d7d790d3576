"""The processes of one service.

    guard                 starts the supervisor again when it dies; holds the lock that says "this service runs"
    └── supervisor        the gate, in its own event loop; starts, watches and ends the others
        ├── inference server    on a loopback port
        └── gunicorn            on a loopback port, with the score workers

Every child asks the kernel to be killed when its parent dies, so that no process outlives the service and keeps a port.
"""
