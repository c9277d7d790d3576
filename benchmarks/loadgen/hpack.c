#include "hpack.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIXED = 61, TEXT_ROOM = 65536 };

static const char *const fixed[FIXED][2] = {
    {":authority", ""}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"},
    {":scheme", "http"}, {":scheme", "https"}, {":status", "200"}, {":status", "204"}, {":status", "206"},
    {":status", "304"}, {":status", "400"}, {":status", "404"}, {":status", "500"}, {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"}, {"accept-language", ""}, {"accept-ranges", ""}, {"accept", ""},
    {"access-control-allow-origin", ""}, {"age", ""}, {"allow", ""}, {"authorization", ""}, {"cache-control", ""},
    {"content-disposition", ""}, {"content-encoding", ""}, {"content-language", ""}, {"content-length", ""},
    {"content-location", ""}, {"content-range", ""}, {"content-type", ""}, {"cookie", ""}, {"date", ""}, {"etag", ""},
    {"expect", ""}, {"expires", ""}, {"from", ""}, {"host", ""}, {"if-match", ""}, {"if-modified-since", ""},
    {"if-none-match", ""}, {"if-range", ""}, {"if-unmodified-since", ""}, {"last-modified", ""}, {"link", ""},
    {"location", ""}, {"max-forwards", ""}, {"proxy-authenticate", ""}, {"proxy-authorization", ""}, {"range", ""},
    {"referer", ""}, {"refresh", ""}, {"retry-after", ""}, {"server", ""}, {"set-cookie", ""},
    {"strict-transport-security", ""}, {"transfer-encoding", ""}, {"user-agent", ""}, {"vary", ""}, {"via", ""},
    {"www-authenticate", ""},
};

/* Bits of the Huffman code of each byte. The code is canonical: among codes of a length, and from one length to the
 * next, they count up in the order of the bytes. */
static const unsigned char code_bits[256] = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6,
    12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15,
    5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20,
    22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
    23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26,
    27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
};
static struct {
    uint32_t code;      /* the first one of this length */
    unsigned count, at; /* how many there are, and where their bytes begin in `by_code` */
} lengths[33];
static unsigned char by_code[256];

static void order_codes(void) {
    uint32_t code = 0;
    unsigned at = 0;
    for (unsigned bits = 1; bits <= 30; bits++) {
        lengths[bits].code = code;
        lengths[bits].at = at;
        for (unsigned byte = 0; byte < 256; byte++)
            if (code_bits[byte] == bits) by_code[at++] = (unsigned char)byte;
        lengths[bits].count = at - lengths[bits].at;
        code = (code + lengths[bits].count) << 1;
    }
}

typedef struct {
    const unsigned char *at, *end;
    int wrong;
} Reader;

static size_t read_number(Reader *r, unsigned bits) {
    if (r->at == r->end) return r->wrong = 1, 0;
    size_t mask = ((size_t)1 << bits) - 1, value = *r->at++ & mask;
    if (value < mask) return value;
    for (unsigned shift = 0; r->at < r->end && shift < 28; shift += 7) {
        value += (size_t)(*r->at & 127) << shift;
        if (!(*r->at++ & 128)) return value;
    }
    return r->wrong = 1, 0;
}

/* What is left of the last byte are ones, the beginning of a code that no byte has. */
static size_t expand(const unsigned char *at, size_t size, char *to, size_t room) {
    if (!by_code[0]) order_codes();
    uint32_t code = 0;
    size_t made = 0;
    for (size_t bit = 0, bits = 0; bit < 8 * size && made < room; bit++) {
        code = code << 1 | (at[bit / 8] >> (7 - bit % 8) & 1u);
        if (++bits > 30) break;
        uint32_t place = code - lengths[bits].code;
        if (code < lengths[bits].code || place >= lengths[bits].count) continue;
        to[made++] = (char)by_code[lengths[bits].at + place];
        code = 0;
        bits = 0;
    }
    return made;
}

static const char *read_text(Reader *r, char *to) {
    int huffman = r->at < r->end && *r->at & 128;
    size_t size = read_number(r, 7);
    if (r->wrong || size > (size_t)(r->end - r->at) || size > TEXT_ROOM - 1) return r->wrong = 1, "";
    size_t made = huffman ? expand(r->at, size, to, TEXT_ROOM - 1) : size;
    if (!huffman) memcpy(to, r->at, size);
    to[made] = 0;
    r->at += size;
    return to;
}

static HeaderField *entry(HeaderTable *table, size_t place) { return &table->fields[(table->first + place) % TABLE_ENTRIES]; }

static size_t size_of(const char *name, const char *value) { return strlen(name) + strlen(value) + 32; }

static void shrink(HeaderTable *table, size_t to) {
    while (table->size > to) {
        HeaderField *oldest = entry(table, 0);
        table->size -= size_of(oldest->name, oldest->value);
        free(oldest->name);
        free(oldest->value);
        table->first = (table->first + 1) % TABLE_ENTRIES;
        table->count--;
    }
}

static void keep(HeaderTable *table, const char *name, const char *value) {
    size_t size = size_of(name, value);
    HeaderField field = {strdup(name), strdup(value)};
    shrink(table, size > table->limit ? 0 : table->limit - size);
    if (size > table->limit) {
        free(field.name);
        free(field.value);
        return;
    }
    *entry(table, table->count++) = field;
    table->size += size;
}

void forget_headers(HeaderTable *table) {
    shrink(table, 0);
    table->limit = TABLE_SIZE;
}

static HeaderField look_up(Reader *r, HeaderTable *table, size_t index) {
    if (index >= 1 && index <= FIXED) return (HeaderField){(char *)fixed[index - 1][0], (char *)fixed[index - 1][1]};
    if (index < 1 || index - FIXED > table->count) return r->wrong = 1, (HeaderField){"", ""};
    return *entry(table, table->count - (index - FIXED));
}

int read_headers(HeaderTable *table, const char *block, size_t size,
                 void (*seen)(void *with, const char *name, const char *value), void *with) {
    static char name_text[TEXT_ROOM], value_text[TEXT_ROOM];
    Reader r = {(const unsigned char *)block, (const unsigned char *)block + size, 0};
    while (r.at < r.end && !r.wrong) {
        unsigned char kind = *r.at;
        if (kind & 128) {
            HeaderField field = look_up(&r, table, read_number(&r, 7));
            if (!r.wrong) seen(with, field.name, field.value);
        } else if ((kind & 224) == 32) {
            size_t limit = read_number(&r, 5);
            if (limit > TABLE_SIZE) return 0;
            shrink(table, table->limit = limit);
        } else {
            size_t index = read_number(&r, kind & 64 ? 6 : 4);
            const char *name = index ? look_up(&r, table, index).name : read_text(&r, name_text);
            const char *value = read_text(&r, value_text);
            if (r.wrong) return 0;
            seen(with, name, value);
            if (kind & 64) keep(table, name, value);
        }
    }
    return !r.wrong;
}
