"""A service in a Kubernetes cluster.

    Ingress /api/v1/service/NAME ── Service :80 ─┐        one Deployment, its pods:
                                                 │
                            ┌────────────────────┴─────────────────────────────────┐
                            │ fetch    (init)     models and script → /var/despina  │
                            │ server   (sidecar)  127.0.0.1:8000, metrics :8002     │
                            │ score    (sidecar)  127.0.0.1:5001                    │
                            │ gate                :8080; probes and metrics :8081   │
                            └──────────────────────────────────────────────────────┘

The inference server and the score workers listen on the pod's loopback address only, so nothing passes by the gate and
its keys; and `localhost:8000`, which entry scripts are printed with, is true. They are sidecars (init containers that
keep running, Kubernetes 1.29): each starts when the one before is ready; all end after the gate has let its requests
end.

`manifests` and the modules it uses are pure: a `Workload` in, dictionaries out. `kubectl` applies them. `pod/` is what
runs in the containers.
"""
