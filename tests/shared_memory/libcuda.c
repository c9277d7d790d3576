/* The functions of the CUDA driver that CudaDriver calls, in host memory, with the driver's own signatures. There is one
   allocation of 64 bytes at an odd place in a block of 128; its handle is 64 times 'h'. */

#include <stddef.h>
#include <string.h>

typedef unsigned long long CUdeviceptr;
typedef struct { char reserved[64]; } CUipcMemHandle;

enum { SUCCESS = 0, INVALID_VALUE = 1, INVALID_CONTEXT = 201 };

static char block[128];
static int opened, contexts[2], *stack[4], depth;

int cuInit(unsigned int flags) { return flags ? INVALID_VALUE : SUCCESS; }
int cuDeviceGetCount(int *count) { *count = 2; return SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal < 2 ? SUCCESS : 101; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = &contexts[device]; return SUCCESS; }
int cuCtxPushCurrent_v2(void *context) { stack[depth++] = context; return SUCCESS; }
int cuCtxPopCurrent_v2(void **context) { *context = stack[--depth]; return SUCCESS; }

static int on_second(void) { return depth == 1 && stack[0] == &contexts[1]; }

int cuIpcOpenMemHandle_v2(CUdeviceptr *address, CUipcMemHandle handle, unsigned int flags) {
    if (!on_second()) return INVALID_CONTEXT;
    for (int i = 0; i < 64; i++) if (handle.reserved[i] != 'h') return INVALID_VALUE;
    if (flags != 1) return INVALID_VALUE;
    opened++;
    *address = (CUdeviceptr)(block + 64);
    return SUCCESS;
}

int cuIpcCloseMemHandle(CUdeviceptr address) {
    if (!on_second()) return INVALID_CONTEXT;
    if (address != (CUdeviceptr)(block + 64) || !opened) return INVALID_VALUE;
    opened--;
    return SUCCESS;
}

int cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr address) {
    if (!on_second()) return INVALID_CONTEXT;
    *base = (CUdeviceptr)block;
    *size = sizeof block;
    return address >= *base && address < *base + *size ? SUCCESS : INVALID_VALUE;
}

int cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t size) {
    if (!on_second()) return INVALID_CONTEXT;
    memcpy(to, (void *)from, size);
    return SUCCESS;
}

int cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t size) {
    if (!on_second()) return INVALID_CONTEXT;
    memcpy((void *)to, from, size);
    return SUCCESS;
}

int cuStreamSynchronize(void *stream) { return on_second() && !stream ? SUCCESS : INVALID_CONTEXT; }

int handles_open(void) { return opened; }
int contexts_current(void) { return depth; }
