"""Whether something answers: the status of a GET, without more of HTTP than that takes."""

import asyncio

SECONDS = 5.0


async def status_of(host: str, port: int, path: str) -> int:
    """The status that GET gives; 0 when nothing that speaks HTTP answers in time."""
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                line = await reader.readline()
            finally:
                writer.close()
        words = line.split()
        return int(words[1]) if line.startswith(b"HTTP/1.") and len(words) > 1 and words[1].isdigit() else 0
    except (OSError, ValueError):  # no answer in time; too long a line, or number
        return 0
