"""What runs in the containers of a pod: `fetch`, then `gate`; `probe` asks for the kubelet."""
