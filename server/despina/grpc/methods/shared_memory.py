"""Registering memory that clients share with the server. An empty name stands for every region."""

from __future__ import annotations

from typing import TYPE_CHECKING

from despina.errors import InvalidArgument
from despina.grpc.messages import message_class
from despina.grpc.method import Message, Method
from despina.http.endpoints.shared_memory import check_allowed
from despina.protocol.fields import cut_at_nul
from despina.shared_memory.cuda import HANDLE_SIZE

if TYPE_CHECKING:
    from despina.server import Server

SYSTEM_STATUS = message_class("SystemSharedMemoryStatusResponse")
SYSTEM_REGISTERED = message_class("SystemSharedMemoryRegisterResponse")
SYSTEM_UNREGISTERED = message_class("SystemSharedMemoryUnregisterResponse")
CUDA_STATUS = message_class("CudaSharedMemoryStatusResponse")
CUDA_REGISTERED = message_class("CudaSharedMemoryRegisterResponse")
CUDA_UNREGISTERED = message_class("CudaSharedMemoryUnregisterResponse")


async def system_status(request: Message, server: Server) -> Message:
    """The system shared memory regions that are registered, or one of them. Raises NotFound."""
    regions = server.shared_memory.status("system", request.name or None)
    return SYSTEM_STATUS(regions={region["name"]: SYSTEM_STATUS.RegionStatus(**region) for region in regions})


async def cuda_status(request: Message, server: Server) -> Message:
    """The CUDA shared memory regions that are registered, or one of them. Raises NotFound."""
    regions = server.shared_memory.status("CUDA", request.name or None)
    return CUDA_STATUS(regions={region["name"]: CUDA_STATUS.RegionStatus(**region) for region in regions})


async def register_system(request: Message, server: Server) -> Message:
    """Register `byte_size` bytes from `offset` of the object that `key` names. Tensors of later requests may lie in
    it."""
    check_allowed(server)
    server.shared_memory.register_system(request.name, cut_at_nul(request.key), request.offset, request.byte_size)
    return SYSTEM_REGISTERED()


async def register_cuda(request: Message, server: Server) -> Message:
    """Register `byte_size` bytes on the GPU `device_id`, by an IPC handle. Tensors of later requests may lie in it."""
    check_allowed(server)
    handle = request.raw_handle[:HANDLE_SIZE]
    if len(handle) < HANDLE_SIZE:
        raise InvalidArgument("failed to register shared memory region: invalid args")
    server.shared_memory.register_cuda(request.name, handle, request.device_id, request.byte_size)
    return CUDA_REGISTERED()


async def unregister_system(request: Message, server: Server) -> Message:
    """Forget a system shared memory region, or all of them."""
    check_allowed(server)
    server.shared_memory.unregister("system", request.name or None)
    return SYSTEM_UNREGISTERED()


async def unregister_cuda(request: Message, server: Server) -> Message:
    """Forget a CUDA shared memory region, or all of them."""
    check_allowed(server)
    server.shared_memory.unregister("CUDA", request.name or None)
    return CUDA_UNREGISTERED()


METHODS = tuple(
    Method(name, message_class(f"{name}Request"), "shared-memory", handle)
    for name, handle in (
        ("SystemSharedMemoryStatus", system_status),
        ("SystemSharedMemoryRegister", register_system),
        ("SystemSharedMemoryUnregister", unregister_system),
        ("CudaSharedMemoryStatus", cuda_status),
        ("CudaSharedMemoryRegister", register_cuda),
        ("CudaSharedMemoryUnregister", unregister_cuda),
    )
)
