/* Header blocks of HTTP/2 (RFC 7541), as far as it takes to know the status of an answer. */
#ifndef HPACK_H
#define HPACK_H

#include <stddef.h>

enum { TABLE_SIZE = 4096, TABLE_ENTRIES = TABLE_SIZE / 32 };

typedef struct {
    char *name, *value;
} HeaderField;

/* The fields that a server has put into its table, the newest one last; `first` is the oldest one of the ring. */
typedef struct {
    HeaderField fields[TABLE_ENTRIES];
    size_t first, count, size, limit;
} HeaderTable;

/* Empties it, as it is at the beginning of a connection. All zeros is an empty one, too, that was never used. */
void forget_headers(HeaderTable *table);

/* Calls `seen` for each field of a block; names and values end with a zero. Returns 0 when it is no block. */
int read_headers(HeaderTable *table, const char *block, size_t size,
                 void (*seen)(void *with, const char *name, const char *value), void *with);

#endif
