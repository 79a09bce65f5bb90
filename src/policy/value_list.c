/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "policy/value_list.h"

#include <stdlib.h>

#include <apr_general.h>

#include "policy/limits.h"

#define FIRST_SLOTS 16
/* The length before a value: seven bits a byte, least first. */
#define MOST_LENGTH_BYTES 5

/* Values stand one behind the other in `bytes`, each behind its length; the first byte is not used,
 * so that an offset is never 0. `slots` holds offsets, 0 where nothing is, at most two thirds full:
 *
 *   slots  | 1 | 0 | 9 | 0 | ...        bytes  |-|7|c|l|i|e|n|t|1|7|c|l|i|e|n|t|2|...
 *            |       +---------------------------------------------^
 *            +---------------------------------------^
 */
struct mtls_value_list_t {
    mtls_kind_t kind;
    int sealed;
    int count;
    unsigned char *bytes;
    apr_size_t used, room;
    apr_uint32_t *slots;
    apr_size_t slot_count;
    apr_uint64_t key[2];
    /* MTLS_KIND_IP: which prefix lengths occur, so that a look-up tries only those. */
    unsigned char prefixes_v4[33];
    unsigned char prefixes_v6[129];
};

/* ---- lines ---- */

typedef struct walker_t {
    apr_pool_t *scratch;
    mtls_line_fn fn;
    void *baton;
    char copy[MTLS_MAX_LIST_LINE + 1];
} walker_t;

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* One line without its LF: handed over without its CR and surrounding blanks. */
static const char *walk_line(walker_t *w, mtls_span_t line)
{
    if (line.len > MTLS_MAX_LIST_LINE)
        return apr_psprintf(w->scratch, "longer than %d bytes", MTLS_MAX_LIST_LINE);
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    while (line.len > 0 && is_blank(line.data[line.len - 1]))
        line.len--;
    while (line.len > 0 && is_blank(line.data[0]))
        line = mtls_span(line.data + 1, line.len - 1);
    if (line.len == 0 || line.data[0] == '#')
        return NULL;
    memcpy(w->copy, line.data, line.len);
    w->copy[line.len] = '\0';
    return w->fn(w->baton, w->scratch, w->copy);
}

static const char *walk_lines(apr_pool_t *p, walker_t *w, mtls_span_t text)
{
    int number = 0;

    while (text.len > 0) {
        const char *newline = memchr(text.data, '\n', text.len);
        apr_size_t len = newline ? (apr_size_t)(newline - text.data) : text.len;
        const char *error = walk_line(w, mtls_span(text.data, len));
        number++;
        if (error)
            return apr_psprintf(p, "line %d: %s", number, error);
        len += newline != NULL;
        text = mtls_span(text.data + len, text.len - len);
        apr_pool_clear(w->scratch); /* costs nothing that could be measured */
    }
    return NULL;
}

const char *mtls_lines_walk(apr_pool_t *p, const char *text, apr_size_t len, mtls_line_fn fn,
                            void *baton)
{
    apr_pool_t *scratch = NULL;
    const char *error;
    walker_t *w;

    if (len == 0)
        return NULL;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return "line 1: starts with a byte order mark; save the file as plain UTF-8";
    if (memchr(text, '\0', len))
        return "holds a NUL byte: not a text file";
    w = malloc(sizeof(*w));
    if (!w || apr_pool_create(&scratch, p) != APR_SUCCESS) {
        free(w);
        return "out of memory";
    }
    w->scratch = scratch;
    w->fn = fn;
    w->baton = baton;
    error = walk_lines(p, w, mtls_span(text, len));
    apr_pool_destroy(scratch);
    free(w);
    return error;
}

/* ---- hashing: SipHash-1-3 ---- */

/* With a key, because some lists hold what others chose (names, serial numbers): nobody can prepare
 * values that all meet in one place. */

typedef struct sip_t {
    apr_uint64_t a, b, c, d;
} sip_t;

static apr_uint64_t rotate(apr_uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void sip_round(sip_t *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = rotate(s->b, 13) ^ s->a;
    s->d = rotate(s->d, 16) ^ s->c;
    s->a = rotate(s->a, 32) + s->d;
    s->c += s->b;
    s->d = rotate(s->d, 21) ^ s->a;
    s->b = rotate(s->b, 17) ^ s->c;
    s->c = rotate(s->c, 32);
}

static void sip_word(sip_t *s, apr_uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

static apr_uint64_t hash(const mtls_value_list_t *list, mtls_span_t value)
{
    sip_t s = {list->key[0] ^ APR_UINT64_C(0x736f6d6570736575),
               list->key[1] ^ APR_UINT64_C(0x646f72616e646f6d),
               list->key[0] ^ APR_UINT64_C(0x6c7967656e657261),
               list->key[1] ^ APR_UINT64_C(0x7465646279746573)};
    apr_uint64_t word = 0;
    apr_size_t at;

    for (at = 0; value.len - at >= sizeof(word); at += sizeof(word)) {
        memcpy(&word, value.data + at, sizeof(word));
        sip_word(&s, word);
    }
    word = 0;
    if (value.len > at)
        memcpy(&word, value.data + at, value.len - at);
    sip_word(&s, word ^ ((apr_uint64_t)value.len << 56));
    s.c ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

/* ---- bytes ---- */

static apr_size_t put_length(unsigned char *out, apr_size_t len)
{
    apr_size_t n = 0;

    for (; len > 127; len >>= 7)
        out[n++] = (unsigned char)(len | 128);
    out[n++] = (unsigned char)len;
    return n;
}

static mtls_span_t value_at(const mtls_value_list_t *list, apr_size_t offset)
{
    const unsigned char *in = list->bytes + offset;
    apr_size_t len = 0;
    int shift = 0;

    for (; *in & 128; in++, shift += 7)
        len |= (apr_size_t)(*in & 127) << shift;
    len |= (apr_size_t)*in << shift;
    return mtls_span((const char *)in + 1, len);
}

static const char *reserve_bytes(mtls_value_list_t *list, apr_size_t len)
{
    const apr_uint64_t most = APR_UINT32_MAX; /* what an offset can say */
    apr_size_t needed, room;
    unsigned char *bytes;

    if (len > most || list->used + MOST_LENGTH_BYTES > most - len)
        return "more than 4 GB";
    needed = list->used + MOST_LENGTH_BYTES + len;
    if (needed <= list->room)
        return NULL;
    room = needed < most / 2 ? needed + needed / 2 : (apr_size_t)most;
    bytes = realloc(list->bytes, room);
    if (!bytes)
        return "out of memory";
    list->bytes = bytes;
    list->room = room;
    return NULL;
}

/* ---- slots ---- */

/* Any number of slots, not only powers of two: the upper half of the hash, scaled. */
static apr_size_t first_slot(const mtls_value_list_t *list, apr_uint64_t hashed)
{
    return (apr_size_t)(((hashed >> 32) * list->slot_count) >> 32);
}

/* The slot that holds `value`, or the empty one it belongs into. There is always an empty one. */
static apr_size_t find_slot(const mtls_value_list_t *list, mtls_span_t value)
{
    apr_size_t slot = first_slot(list, hash(list, value));

    while (list->slots[slot] && !mtls_span_equal(value_at(list, list->slots[slot]), value))
        slot = slot + 1 < list->slot_count ? slot + 1 : 0;
    return slot;
}

static void fill_slots(mtls_value_list_t *list)
{
    apr_size_t offset = 1, slot;
    int i;

    for (i = 0; i < list->count; i++) {
        mtls_span_t value = value_at(list, offset);
        slot = first_slot(list, hash(list, value));
        while (list->slots[slot]) /* all values differ: nothing to compare */
            slot = slot + 1 < list->slot_count ? slot + 1 : 0;
        list->slots[slot] = (apr_uint32_t)offset;
        offset = (apr_size_t)((const unsigned char *)value.data + value.len - list->bytes);
    }
}

static const char *set_slots(mtls_value_list_t *list, apr_size_t n)
{
    apr_uint32_t *slots = calloc(n, sizeof(*slots));

    if (!slots)
        return "out of memory";
    free(list->slots);
    list->slots = slots;
    list->slot_count = n;
    fill_slots(list);
    return NULL;
}

static apr_size_t slots_for(int values)
{
    return (apr_size_t)values + ((apr_size_t)values + 1) / 2;
}

static const char *reserve_slot(mtls_value_list_t *list)
{
    if (slots_for(list->count + 1) <= list->slot_count)
        return NULL;
    return set_slots(list, list->slot_count ? 2 * list->slot_count : FIRST_SLOTS);
}

/* ---- lists ---- */

static apr_status_t free_list(void *baton)
{
    mtls_value_list_t *list = baton;

    free(list->bytes);
    free(list->slots);
    return APR_SUCCESS;
}

mtls_value_list_t *mtls_value_list_make(apr_pool_t *p, mtls_kind_t kind)
{
    mtls_value_list_t *list = apr_pcalloc(p, sizeof(*list));

    list->kind = kind;
    list->used = 1;
    /* Without random bytes look-ups stay right; only the key is then one that can be known. */
    if (apr_generate_random_bytes((unsigned char *)list->key, sizeof(list->key)) != APR_SUCCESS)
        memset(list->key, 0, sizeof(list->key));
    apr_pool_cleanup_register(p, list, free_list, apr_pool_cleanup_null);
    return list;
}

/* Where the list remembers that networks of this prefix length occur; NULL: not a network. */
static unsigned char *prefix_of(mtls_value_list_t *list, mtls_span_t network)
{
    apr_size_t bits;

    if (network.len != 4 + 2 && network.len != 16 + 2)
        return NULL;
    bits = (unsigned char)network.data[1];
    if ((unsigned char)network.data[0] != network.len - 2 || bits > 8 * (network.len - 2))
        return NULL;
    return network.len == 4 + 2 ? &list->prefixes_v4[bits] : &list->prefixes_v6[bits];
}

static void append(mtls_value_list_t *list, apr_size_t slot, mtls_span_t value)
{
    list->slots[slot] = (apr_uint32_t)list->used;
    list->used += put_length(list->bytes + list->used, value.len);
    if (value.len > 0)
        memcpy(list->bytes + list->used, value.data, value.len);
    list->used += value.len;
    list->count++;
}

const char *mtls_value_list_add(mtls_value_list_t *list, mtls_span_t value)
{
    unsigned char *prefix = NULL;
    const char *error;
    apr_size_t slot;

    if (list->sealed)
        return "the list is complete";
    if (list->kind == MTLS_KIND_IP && (prefix = prefix_of(list, value)) == NULL)
        return "not an address or a network";
    if ((error = reserve_bytes(list, value.len)) != NULL || (error = reserve_slot(list)) != NULL)
        return error;
    slot = find_slot(list, value);
    if (!list->slots[slot])
        append(list, slot, value);
    if (prefix)
        *prefix = 1;
    return NULL;
}

void mtls_value_list_seal(mtls_value_list_t *list)
{
    unsigned char *bytes;

    list->sealed = 1;
    if (list->room > list->used && (bytes = realloc(list->bytes, list->used)) != NULL) {
        list->bytes = bytes;
        list->room = list->used;
    }
    /* Not for little: it means hashing everything once more. Without memory it stays as it is. */
    if (list->slot_count > 2 * (apr_size_t)list->count && list->count > 0)
        (void)set_slots(list, slots_for(list->count));
}

int mtls_value_list_count(const mtls_value_list_t *list)
{
    return list->count;
}

apr_size_t mtls_value_list_bytes(const mtls_value_list_t *list)
{
    return sizeof(*list) + list->room + list->slot_count * sizeof(*list->slots);
}

/* ---- look-ups ---- */

static int has_value(const mtls_value_list_t *list, mtls_span_t value)
{
    return list->count > 0 && list->slots[find_slot(list, value)] != 0;
}

static int has_network(const mtls_value_list_t *list, mtls_span_t address)
{
    const unsigned char *in_use = address.len == 4 ? list->prefixes_v4 : list->prefixes_v6;
    char network[MTLS_NETWORK_BYTES];
    int bits;

    if (address.len != 4 && address.len != 16)
        return 0;
    for (bits = 0; bits <= (int)address.len * 8; bits++) {
        if (in_use[bits]) {
            apr_size_t len = mtls_value_network(address, bits, network);
            if (has_value(list, mtls_span(network, len)))
                return 1;
        }
    }
    return 0;
}

int mtls_value_list_has(const mtls_value_list_t *list, mtls_span_t value)
{
    if (list->kind == MTLS_KIND_IP)
        return has_network(list, value);
    return has_value(list, value);
}
