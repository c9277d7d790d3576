import weakref

from despina.memory import give_back_memory


class Node:
    pass


def test_what_only_refers_to_itself_is_freed():
    node = Node()
    node.itself = node
    gone = weakref.ref(node)
    del node
    give_back_memory()
    assert gone() is None
