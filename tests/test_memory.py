import asyncio
import weakref

from despina import memory
from despina.memory import MemoryReturn, give_back_memory


class Node:
    pass


def test_what_only_refers_to_itself_is_freed():
    node = Node()
    node.itself = node
    gone = weakref.ref(node)
    del node
    give_back_memory()
    assert gone() is None


def test_memory_is_given_back_once_for_all_that_is_freed_together(monkeypatch):
    times: list[str] = []
    monkeypatch.setattr(memory, "give_back_memory", lambda: times.append("given back"))
    monkeypatch.setattr(MemoryReturn, "DELAY_S", 0.0)

    async def free_some(memory_return: MemoryReturn) -> list[str]:
        for _ in range(3):
            memory_return.ask()
        await asyncio.sleep(0.01)
        await asyncio.get_running_loop().shutdown_default_executor()
        return list(times)

    memory_return = MemoryReturn()
    assert asyncio.run(free_some(memory_return)) == ["given back"]
    assert asyncio.run(free_some(memory_return)) == ["given back"] * 2
    memory_return.close()
    assert asyncio.run(free_some(memory_return)) == ["given back"] * 2
