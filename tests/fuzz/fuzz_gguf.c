/* fuzz_gguf.c - GGUF files from strangers.
 *
 * Random bytes seldom get past the first key. So an input is either a file as it is (first byte 0),
 * or a recipe: which family, which type, and then up to 32 changes to the right file that this
 * makes: a byte set at a place, eight bytes, a cut, bytes added. */
#include "formats_walk.h"
#include "../formats/model.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_keys(const silr_gguf *g)
{
    static const char *const key[] = {"general.architecture",  "general.alignment",
                                      "tokenizer.ggml.tokens", "llama.block_count",
                                      "llama.rope.freq_base",  "k"};
    const char *s;
    size_t len, n;
    int64_t i;
    double d;
    bool b;
    uint64_t sum = 0;

    for (size_t k = 0; k < sizeof key / sizeof *key; k++) {
        if (silr_gguf_string(g, key[k], &s, &len))
            sum += silr_hash64(s, len, 0);
        if (silr_gguf_integer(g, key[k], &i) && !silr_gguf_number(g, key[k], &d))
            abort();
        if (silr_gguf_bool(g, key[k], &b) && !silr_gguf_has(g, key[k]))
            abort();
        if (silr_gguf_strings(g, key[k], &n))
            for (size_t j = 0; j < n; j++) {
                if (!silr_gguf_string_at(g, key[k], j, &s, &len))
                    abort();
                sum += silr_hash64(s, len, 0);
            }
        if (silr_gguf_numbers(g, key[k], &n) && n > 0 &&
            !silr_gguf_number_at(g, key[k], n - 1, &d) &&
            !silr_gguf_integers(g, key[k], &n)) /* an integer may not fit */
            abort();
        if (silr_gguf_string_at(g, key[k], SIZE_MAX, &s, &len) ||
            silr_gguf_integer_at(g, key[k], SIZE_MAX, &i) ||
            silr_gguf_number_at(g, key[k], SIZE_MAX, &d))
            abort();
    }
    for (size_t j = 0; j < silr_gguf_tensors(g); j++)
        walk_tensor(silr_gguf_tensor(g, j));
    if (sum == 1) /* so that nobody leaves the reading out */
        abort();
}

static void try_file(const void *bytes, size_t size)
{
    silr_gguf *g;
    silr_weights *w;
    silr_error err = {0};
    void *block = malloc(size ? size : 1); /* of exactly its size */
    silr_status st;

    if (!block)
        return;
    if (size)
        memcpy(block, bytes, size);
    walk_refusal(st = silr_gguf_parse(&g, block, size, "fuzz", &err), &err);
    if (st == SILR_OK) {
        walk_keys(g);
        walk_refusal(st = silr_weights_of_gguf(&w, g, "fuzz", &err), &err);
        if (st == SILR_OK) {
            walk_weights(w);
            silr_weights_free(w);
        }
    }
    free(block);
}

/* Adds the right file; each is made once. */
static void make_file(silr_buf *b, uint8_t family, uint8_t type)
{
    static const char *const arch[] = {"llama", "qwen2", "qwen3", "gemma2", "gemma3", "bert"};
    static const struct {
        uint32_t type;
        size_t block, bytes;
    } of[] = {{0, 1, 4},   {1, 1, 2},   {30, 1, 2},  {8, 32, 34}, {2, 32, 18},
              {3, 32, 20}, {6, 32, 22}, {7, 32, 24}, {20, 32, 18}};
    enum { TYPES = sizeof of / sizeof *of };
    static silr_buf made[6][TYPES];
    size_t f = family % 6, t = type % TYPES;
    silr_plan p =
        small_plan((silr_family)f, f == 5 ? SILR_LAYOUT_GGUF_BERT : SILR_LAYOUT_GGUF, true);

    if (!made[f][t].data)
        gguf_model(&made[f][t], arch[f], &p, of[t].type, of[t].block, of[t].bytes);
    silr_buf_add(b, made[f][t].data, made[f][t].len);
}

/* A change is six bytes: what, where (two), and with what (three). */
static void change(silr_buf *b, const uint8_t *c)
{
    size_t at = (size_t)(c[1] | c[2] << 8) % (b->len ? b->len : 1);
    uint64_t wide = (uint64_t)c[3] << (c[4] % 64);

    if (b->len == 0)
        return;
    switch (c[0] % 5) {
    case 0:
        b->data[at] = (char)c[3];
        break;
    case 1:
        memcpy(b->data + at, &wide, b->len - at < 8 ? b->len - at : 8);
        break;
    case 2:
        b->len -= (size_t)(c[3] | c[4] << 8) % b->len;
        break;
    case 3:
        put_zeros(b, c[3]);
        break;
    default: /* a piece of the file over another */
        memmove(b->data + at, b->data + b->len / 256 * c[3],
                (b->len - at < c[4] ? b->len - at : c[4]) % (b->len - b->len / 256 * c[3]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    silr_buf b = {0};

    if (size > 0 && data[0] == 0) {
        try_file(data + 1, size - 1);
        return 0;
    }
    if (size < 3)
        return 0;
    make_file(&b, data[1], data[2]);
    if (b.failed)
        abort();
    for (size_t i = 3, n = 0; i + 6 <= size && n < 32; i += 6, n++)
        change(&b, data + i);
    try_file(b.data, b.len);
    silr_buf_clear(&b);
    return 0;
}
