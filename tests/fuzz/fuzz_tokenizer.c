/* fuzz_tokenizer.c - a tokenizer.json, a tokenizer_config.json and a text, a zero byte between:
 * whatever parses is used, and what must hold for any tokenizer is checked.
 *
 * An input that begins with "GGUF" is a vocabulary in that format instead, with a text of our own.
 */
#include "formats/gguf.h"
#include "tokenizer/inside.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char sample[] = "It's <s>[INST] \xc3\xa9\xcc\x81 \xe4\xb8\xad 12\xc2\xb2 "
                             "<|im_end|>\r\n\xff\xe2\x96\x81the<0x41>";

static void check_ids(const silr_tokenizer *t, const silr_tokens *ids, size_t from, bool trusted)
{
    for (size_t i = from; i < ids->n; i++) {
        size_t n;
        if (ids->id[i] >= silr_tokenizer_vocab(t) || !silr_tokenizer_piece(t, ids->id[i], &n))
            abort();
        if (!trusted && silr_tokenizer_is_special(t, ids->id[i]) && ids->id[i] != t->unknown)
            abort(); /* text has become a special token */
    }
}

static void use(const silr_tokenizer *t, const char *s, size_t len)
{
    silr_tokens ids = {0}, again = {0};
    silr_buf b = {0};
    silr_error err;
    size_t most = t->n_before + t->n_after + 3;

    if (silr_tokenizer_encode(t, s, len, NULL, &ids, &err) == SILR_OK) {
        check_ids(t, &ids, 0, false);
        if (silr_tokenizer_encode(t, s, len, NULL, &again, &err) != SILR_OK || again.n != ids.n ||
            (ids.n && memcmp(again.id, ids.id, ids.n * sizeof *ids.id) != 0))
            abort(); /* the notes of a first encoding change nothing */
    }
    if (silr_tokenizer_decode(t, ids.id, ids.n, &b, &err) != SILR_OK ||
        !silr_tok_is_utf8(b.data ? b.data : "", b.len))
        abort();
    again.n = 0;
    if (silr_tokenizer_encode(t, b.data ? b.data : "", b.len,
                              &(silr_encode_opts){.trusted = true, .frame = true}, &again,
                              &err) == SILR_OK)
        check_ids(t, &again, 0, true);
    again.n = 0;
    if (silr_tokenizer_encode(t, s, len, &(silr_encode_opts){.frame = true, .max_tokens = most},
                              &again, &err) == SILR_OK &&
        again.n > most)
        abort();
    silr_tokens_clear(&ids);
    silr_tokens_clear(&again);
    silr_buf_clear(&b);
}

/* encode(0..m) ++ encode(from = m) = encode(0..n) */
static void talk(const silr_tokenizer *t, silr_talk kind, const char *s, size_t len)
{
    const silr_turn turn[] = {{SILR_ROLE_SYSTEM, s, len / 2},
                              {SILR_ROLE_USER, s, len},
                              {SILR_ROLE_ASSISTANT, s + len / 2, len - len / 2}};
    silr_tokens all = {0}, parts = {0};
    silr_error err;

    if (silr_tokenizer_talk_encode(t, kind, turn, 0, 3, true, &all, &err) == SILR_OK)
        for (size_t m = 0; m <= 3; m++) {
            parts.n = 0;
            if (silr_tokenizer_talk_encode(t, kind, turn, 0, m, false, &parts, &err) != SILR_OK ||
                silr_tokenizer_talk_encode(t, kind, turn, m, 3, true, &parts, &err) != SILR_OK)
                abort();
            if (parts.n != all.n ||
                (all.n && memcmp(parts.id, all.id, all.n * sizeof *all.id) != 0))
                abort();
        }
    silr_tokens_clear(&all);
    silr_tokens_clear(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *json = (const char *)data, *config, *text;
    const uint8_t *zero = memchr(data, 0, size), *second;
    size_t json_len = zero ? (size_t)(zero - data) : size, config_len = 0, len = 0;
    silr_tokenizer *t = NULL;
    silr_gguf *g = NULL;
    silr_error err = {0};
    silr_status st;

    config = text = "";
    if (zero) {
        config = (const char *)zero + 1;
        second = memchr(config, 0, size - json_len - 1);
        config_len = second ? (size_t)(second - zero - 1) : size - json_len - 1;
        if (second) {
            text = (const char *)second + 1;
            len = size - json_len - config_len - 2;
        }
    }
    if (size > 4 && memcmp(data, "GGUF", 4) == 0) {
        if ((st = silr_gguf_parse(&g, data, size, "fuzz.gguf", &err)) == SILR_OK)
            st = silr_tok_from_gguf(&t, g, "fuzz.gguf", &err);
        len = 0;
    } else
        st = silr_tokenizer_parse(&t, json, json_len, config_len ? config : NULL, config_len,
                                  "fuzz.json", &err);
    if ((st == SILR_OK) != (t != NULL) || (st != SILR_OK && err.text[0] == '\0'))
        abort();
    if (t) {
        use(t, text, len);
        use(t, sample, sizeof sample - 1);
        talk(t, silr_tokenizer_talk(t), sample, sizeof sample - 1);
        talk(t, SILR_TALK_LLAMA2, len ? text : sample, len ? len : sizeof sample - 1);
    }
    silr_tokenizer_free(t);
    silr_gguf_free(g);
    return 0;
}
