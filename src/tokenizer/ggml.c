/* ggml.c - a tokenizer from the keys tokenizer.ggml.* of a GGUF file.
 *
 *     model        gpt2 (byte-level BPE), llama (BPE by scores), t5 (unigram), bert (WordPiece)
 *     pre          which patterns split the text (pre.c)
 *     tokens, scores, token_type, merges
 *     bos_token_id, eos_token_id, ..., add_bos_token, add_eos_token, add_space_prefix
 *
 * The file says what a token is by its type: 1 normal, 2 unknown, 3 control, 4 user-defined (sought
 * in every text), 5 unused, 6 byte. Control tokens never come from text. */
#include "tokenizer/inside.h"
#include "formats/gguf.h"
#include <math.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name
enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_BYTE = 6 };

static bool flag(const silr_gguf *g, const char *key, bool otherwise)
{
    bool v;
    return silr_gguf_bool(g, key, &v) ? v : otherwise;
}

/* The id under key, or `otherwise`; -1: none, or not one of the vocabulary. */
static int64_t id_of(const silr_tokenizer *t, const silr_gguf *g, const char *key,
                     int64_t otherwise)
{
    int64_t id = otherwise;

    (void)silr_gguf_integer(g, key, &id);
    return id >= 0 && (uint64_t)id < t->n ? id : -1;
}

static uint32_t flags_of(int64_t type)
{
    switch (type) {
    case TYPE_UNKNOWN:
        return TOKEN_SPECIAL | TOKEN_UNKNOWN;
    case TYPE_CONTROL:
        return TOKEN_SPECIAL;
    case TYPE_USER:
        return TOKEN_ADDED | TOKEN_MODEL;
    case TYPE_BYTE:
        return TOKEN_BYTE | TOKEN_MODEL;
    default:
        return TOKEN_MODEL;
    }
}

/* WordPiece in GGUF marks words by U+2581 in front; tokens without it go on inside of a word. Turns
 * that round, to "##" in front of these. */
static silr_status word_name(silr_buf *b, uint32_t flags, const char **s, size_t *len,
                             silr_error *err)
{
    if (!(flags & TOKEN_MODEL) || (flags & TOKEN_ADDED))
        return SILR_OK;
    silr_buf_reset(b);
    if (*len > 3 && memcmp(*s, SILR_TOK_SPACE, 3) == 0)
        silr_buf_add(b, *s + 3, *len - 3);
    else {
        silr_buf_puts(b, "##");
        silr_buf_add(b, *s, *len);
    }
    *s = b->data;
    *len = b->len;
    return b->failed ? silr_fail_memory(err) : SILR_OK;
}

static silr_status read_token(silr_tokenizer *t, const silr_gguf *g, size_t i, silr_buf *b,
                              silr_error *err)
{
    const char *s;
    size_t len;
    int64_t type = 1;
    double score = 0;
    uint32_t flags;
    silr_status st;

    if (!silr_gguf_string_at(g, KEY("tokens"), i, &s, &len))
        return silr_fail(err, SILR_EINPUT, "%s: token %zu cannot be read", t->name, i);
    (void)silr_gguf_integer_at(g, KEY("token_type"), i, &type);
    (void)silr_gguf_number_at(g, KEY("scores"), i, &score);
    if (isnan(score))
        return silr_fail(err, SILR_EINPUT, "%s: the score of token %zu is not a number", t->name,
                         i);
    flags = flags_of(type);
    if (t->model == MODEL_WORDPIECE && (st = word_name(b, flags, &s, &len, err)) != SILR_OK)
        return st;
    if ((st = silr_tok_put_token(t, i, s, len, flags, score, err)) != SILR_OK)
        return st;
    if (!(flags & (TOKEN_SPECIAL | TOKEN_ADDED)) || len == 0)
        return SILR_OK;
    return silr_tok_add_added(t,
                              (silr_added){.id = (uint32_t)i,
                                           .special = (flags & TOKEN_SPECIAL) != 0,
                                           .text = t->token[i].name,
                                           .len = len},
                              err);
}

static silr_status read_tokens(silr_tokenizer *t, const silr_gguf *g, silr_error *err)
{
    silr_buf b = {0};
    silr_status st = SILR_OK;
    size_t n, other;

    if (!silr_gguf_strings(g, KEY("tokens"), &n) || n == 0)
        return silr_fail(err, SILR_EINPUT, "%s: there is no list " KEY("tokens"), t->name);
    if (silr_gguf_has(g, KEY("token_type")) &&
        (!silr_gguf_integers(g, KEY("token_type"), &other) || other != n))
        return silr_fail(err, SILR_EINPUT, "%s: " KEY("token_type") " does not fit %zu tokens",
                         t->name, n);
    if (silr_gguf_has(g, KEY("scores")) &&
        (!silr_gguf_numbers(g, KEY("scores"), &other) || other != n))
        return silr_fail(err, SILR_EINPUT, "%s: " KEY("scores") " do not fit %zu tokens", t->name,
                         n);
    if ((t->model == MODEL_SPM || t->model == MODEL_UNIGRAM) && !silr_gguf_has(g, KEY("scores")))
        return silr_fail(err, SILR_EINPUT, "%s: there is no list " KEY("scores"), t->name);
    if ((st = silr_tok_room(t, n, err)) != SILR_OK)
        return st;
    for (size_t i = 0; st == SILR_OK && i < n; i++)
        st = read_token(t, g, i, &b, err);
    silr_buf_clear(&b);
    return st == SILR_OK ? silr_tok_index(t, err) : st;
}

/* Left and right of "a b"; the space is not the first character. A merge of what is no token is
 * never met. */
static silr_status read_merges(silr_tokenizer *t, const silr_gguf *g, silr_error *err)
{
    silr_merge_rule *rule;
    silr_buf whole = {0};
    silr_status st = SILR_OK;
    size_t n;

    if (!silr_gguf_strings(g, KEY("merges"), &n))
        return silr_fail(err, SILR_EINPUT, "%s: there is no list " KEY("merges"), t->name);
    if (!(rule = silr_alloc(n, sizeof *rule)))
        return silr_fail_memory(err);
    for (size_t i = 0; st == SILR_OK && i < n; i++) {
        const char *s, *space;
        size_t len, left;
        rule[i] = (silr_merge_rule){SILR_TOK_NONE, SILR_TOK_NONE, SILR_TOK_NONE};
        if (!silr_gguf_string_at(g, KEY("merges"), i, &s, &len) || len < 3 ||
            !(space = memchr(s + 1, ' ', len - 1)))
            continue;
        left = (size_t)(space - s);
        silr_buf_reset(&whole);
        silr_buf_add(&whole, s, left);
        silr_buf_add(&whole, space + 1, len - left - 1);
        if (whole.failed) {
            st = silr_fail_memory(err);
            break;
        }
        rule[i].left = silr_tok_by_name(t, s, left);
        rule[i].right = silr_tok_by_name(t, space + 1, len - left - 1);
        if (rule[i].left != SILR_TOK_NONE && rule[i].right != SILR_TOK_NONE)
            rule[i].id = silr_tok_by_name(t, whole.data, whole.len);
    }
    if (st == SILR_OK)
        st = silr_tok_merges(t, rule, n, false, err);
    silr_buf_clear(&whole);
    silr_free(rule);
    return st;
}

/* --- the four models ---------------------------------------------------------------------------
 */

static silr_status bpe(silr_tokenizer *t, const silr_gguf *g, bool *add_bos, silr_error *err)
{
    const char *pre = "default";
    size_t len = strlen(pre);
    silr_status st;

    t->byte_level = true;
    (void)silr_gguf_string(g, KEY("pre"), &pre, &len);
    if ((st = silr_tok_read_pre(t, pre, len, add_bos, err)) != SILR_OK)
        return st;
    return read_merges(t, g, err);
}

static silr_status spm(silr_tokenizer *t, const silr_gguf *g, silr_error *err)
{
    bool prefix = flag(g, KEY("add_space_prefix"), true);
    silr_status st = SILR_OK;

    t->decode = DECODE_SPACES;
    t->decode_strip = prefix;
    if (prefix)
        st = silr_tok_add_normal(
            t, (silr_normal){.kind = NORMAL_PREPEND, .to = SILR_TOK_SPACE, .to_len = 3}, err);
    if (st == SILR_OK)
        st = silr_tok_add_normal(t,
                                 (silr_normal){.kind = NORMAL_REPLACE,
                                               .from = " ",
                                               .from_len = 1,
                                               .to = SILR_TOK_SPACE,
                                               .to_len = 3},
                                 err);
    return st;
}

/* The charsmap is a list of bytes here. */
static silr_status charsmap(const silr_gguf *g, silr_normal *step, const char *where,
                            silr_error *err)
{
    silr_buf b = {0};
    silr_status st = SILR_OK;
    size_t n;

    if (!silr_gguf_integers(g, KEY("precompiled_charsmap"), &n) || n == 0)
        return SILR_OK;
    for (size_t i = 0; i < n; i++) {
        int64_t v = 0;
        (void)silr_gguf_integer_at(g, KEY("precompiled_charsmap"), i, &v);
        silr_buf_putc(&b, (char)(v & 0xff));
    }
    st = b.failed ? silr_fail_memory(err)
                  : silr_charsmap_read(&step->map, b.data, b.len, where, err);
    silr_buf_clear(&b);
    return st;
}

static silr_status unigram(silr_tokenizer *t, const silr_gguf *g, silr_error *err)
{
    silr_normal map = {.kind = NORMAL_CHARSMAP}, spaces = {.kind = NORMAL_SPACES};
    double least = INFINITY;
    silr_status st;

    t->decode = DECODE_SPACES;
    t->fuse_unknown = true;
    spaces.clean = flag(g, KEY("remove_extra_whitespaces"), false);
    spaces.lower = flag(g, KEY("add_space_prefix"), true);
    t->decode_strip = spaces.clean || spaces.lower;
    for (size_t i = 0; i < t->n; i++) {
        if (t->token[i].flags & TOKEN_ADDED)
            t->token[i].score = 0;
        else if ((t->token[i].flags & (TOKEN_MODEL | TOKEN_BYTE)) == TOKEN_MODEL &&
                 t->token[i].score < least)
            least = t->token[i].score;
    }
    t->unknown_score = isfinite(least) ? least - 10 : -10;
    if ((st = charsmap(g, &map, t->name, err)) != SILR_OK)
        return st;
    if ((st = silr_tok_add_normal(t, map, err)) != SILR_OK)
        return st;
    return silr_tok_add_normal(t, spaces, err);
}

static silr_status bert(silr_tokenizer *t, const silr_gguf *g, silr_error *err)
{
    silr_normal step = {.kind = NORMAL_BERT, .clean = true, .chinese = true};
    silr_status st;

    step.lower = flag(g, KEY("normalizer.lowercase"), true);
    step.accents = flag(g, KEY("normalizer.strip_accents"), step.lower);
    t->decode = DECODE_WORDPIECE;
    t->decode_strip = t->decode_cleanup = true;
    t->max_chars = 100;
    if ((st = silr_tok_add_normal(t, step, err)) != SILR_OK ||
        (st = silr_tok_add_split(t, (silr_split){.kind = SPLIT_SPACE, .cut = CUT_REMOVED}, err)) !=
            SILR_OK)
        return st;
    return silr_tok_add_split(t, (silr_split){.kind = SPLIT_PUNCT, .cut = CUT_ISOLATED}, err);
}

static silr_status read_model(silr_tokenizer *t, const silr_gguf *g, bool *add_bos, silr_error *err)
{
    switch (t->model) {
    case MODEL_BPE:
        return bpe(t, g, add_bos, err);
    case MODEL_SPM:
        return spm(t, g, err);
    case MODEL_UNIGRAM:
        return unigram(t, g, err);
    case MODEL_WORDPIECE:
        return bert(t, g, err);
    }
    return SILR_OK;
}

/* --- what goes round a text
 * --------------------------------------------------------------------------- */

static silr_status put_frame(uint32_t **list, size_t *n, size_t *cap, int64_t id, silr_error *err)
{
    if (id < 0)
        return SILR_OK;
    if (!silr_grow(list, cap, *n + 1, sizeof **list))
        return silr_fail_memory(err);
    (*list)[(*n)++] = (uint32_t)id;
    return SILR_OK;
}

static silr_status read_frame(silr_tokenizer *t, const silr_gguf *g, bool add_bos, silr_error *err)
{
    static const struct {
        int64_t bos, eos, unknown, separator;
        bool add_bos, add_eos;
    } usual[] = {
        [MODEL_BPE] = {-1, -1, -1, -1, false, false},
        [MODEL_SPM] = {1, 2, 0, -1, true, false},
        [MODEL_UNIGRAM] = {-1, 1, 2, -1, false, true},
        [MODEL_WORDPIECE] = {101, -1, 100, 102, true, true},
    };
    const int64_t separator =
        id_of(t, g, KEY("seperator_token_id"),
              id_of(t, g, KEY("separator_token_id"), usual[t->model].separator));
    int64_t unknown = id_of(t, g, KEY("unknown_token_id"), usual[t->model].unknown), last;
    bool word = t->model == MODEL_WORDPIECE;
    silr_status st;

    t->bos =
        id_of(t, g, KEY("bos_token_id"), id_of(t, g, KEY("cls_token_id"), usual[t->model].bos));
    t->eos = id_of(t, g, KEY("eos_token_id"), usual[t->model].eos);
    if (unknown >= 0 && t->model != MODEL_BPE) { /* which leaves out what it lacks */
        t->unknown = (uint32_t)unknown;
        t->token[unknown].flags |= TOKEN_UNKNOWN;
    }
    last = word && separator >= 0 ? separator : t->eos;
    if (word || flag(g, KEY("add_bos_token"), add_bos || usual[t->model].add_bos))
        if ((st = put_frame(&t->before, &t->n_before, &t->before_cap, t->bos, err)) != SILR_OK)
            return st;
    if (word || flag(g, KEY("add_eos_token"), usual[t->model].add_eos))
        return put_frame(&t->after, &t->n_after, &t->after_cap, last, err);
    return SILR_OK;
}

static silr_status read_template(silr_tokenizer *t, const silr_gguf *g, silr_error *err)
{
    const char *s;
    size_t len;

    if (silr_gguf_string(g, "tokenizer.chat_template", &s, &len) &&
        !(t->template = silr_strndup(s, len)))
        return silr_fail_memory(err);
    return SILR_OK;
}

static silr_status which_model(silr_tokenizer *t, const silr_gguf *g, silr_error *err)
{
    static const struct {
        const char *name;
        silr_model_kind model;
    } models[] = {{"gpt2", MODEL_BPE},
                  {"llama", MODEL_SPM},
                  {"t5", MODEL_UNIGRAM},
                  {"bert", MODEL_WORDPIECE}};
    const char *s;
    size_t len;

    if (!silr_gguf_string(g, KEY("model"), &s, &len))
        return silr_fail(err, SILR_EINPUT,
                         "%s: there is no " KEY("model") ": a file without a tokenizer", t->name);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strlen(models[i].name) == len && memcmp(models[i].name, s, len) == 0) {
            t->model = models[i].model;
            return SILR_OK;
        }
    return silr_fail(
        err, SILR_EINPUT,
        "%s: silr does not know the tokenizer \"%.*s\"; it knows gpt2, llama, t5 and bert", t->name,
        (int)(len < 60 ? len : 60), s);
}

silr_status silr_tok_from_gguf(silr_tokenizer **out, const struct silr_gguf *g, const char *name,
                               silr_error *err)
{
    silr_tokenizer *t = NULL;
    bool add_bos = false;
    silr_status st;

    *out = NULL;
    if ((st = silr_tok_new(&t, name, err)) != SILR_OK || (st = which_model(t, g, err)) != SILR_OK)
        goto done;
    if (t->model == MODEL_WORDPIECE && !(t->inner_prefix = silr_strdup("##"))) {
        st = silr_fail_memory(err);
        goto done;
    }
    if ((st = read_tokens(t, g, err)) != SILR_OK ||
        (st = read_model(t, g, &add_bos, err)) != SILR_OK ||
        (st = read_frame(t, g, add_bos, err)) != SILR_OK ||
        (st = read_template(t, g, err)) != SILR_OK || (st = silr_tok_finish(t, err)) != SILR_OK ||
        (st = silr_tok_recognise(t, err)) != SILR_OK)
        goto done;
    *out = t;
    t = NULL;
done:
    silr_tokenizer_free(t);
    return st;
}
