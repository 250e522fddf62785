#include "classify/scorer.h"

#include <string.h>

enum { PAPER_TOKENS = 512 };

silr_status silr_scorer_open(silr_scorer *s, const char *path, const silr_scorer_opts *o,
                             silr_error *err)
{
    static const silr_weights_kept kept[] = {SILR_WEIGHTS_NF4, SILR_WEIGHTS_F32, SILR_WEIGHTS_AS_FILED};
    static const silr_pooling asked[] = {SILR_POOL_NONE, SILR_POOL_MEAN, SILR_POOL_CLS, SILR_POOL_LAST};
    const silr_engine_opts engine = {.keep = o->tune.matrices ? SILR_WEIGHTS_AS_FILED : kept[o->base]};
    silr_tune_opts tune = o->tune;
    silr_status st;

    *s = (silr_scorer){0};
    tune.pooling = asked[o->pooling];
    if ((st = silr_engine_open(&s->engine, path, &engine, err)) != SILR_OK ||
        (st = silr_tune_new(&s->tune, s->engine, &tune, err)) != SILR_OK) {
        silr_scorer_clear(s);
        return st;
    }
    s->words = silr_engine_tokenizer(s->engine);
    s->longest = silr_scorer_longest(o->max_tokens, silr_engine_spec(s->engine));
    s->columns = tune.columns;
    return SILR_OK;
}

size_t silr_scorer_longest(size_t max_tokens, const silr_model_spec *s)
{
    const size_t most = s->max_tokens > 0 && s->max_tokens < s->positions ? s->max_tokens : s->positions;
    const size_t want = max_tokens ? max_tokens : PAPER_TOKENS;

    return want < most ? want : most;
}

void silr_scorer_clear(silr_scorer *s)
{
    silr_tune_free(s->tune);
    silr_engine_free(s->engine);
    *s = (silr_scorer){0};
}

/* A text of no tokens (blanks, with a model that frames nothing) is the token that ends one. */
silr_status silr_scorer_tokens(const silr_scorer *s, const char *text, size_t len, silr_tokens *out,
                               silr_error *err)
{
    const silr_encode_opts how = {.frame = true, .max_tokens = s->longest};
    const size_t before = out->n;
    const int64_t end = silr_tokenizer_eos(s->words);
    silr_status st = silr_tokenizer_encode(s->words, text, len, &how, out, err);

    if (st == SILR_OK && out->n == before)
        st = silr_tokens_add(out, end >= 0 ? (uint32_t)end : 0, err);
    return st;
}

silr_status silr_scorer_texts(const silr_scorer *s, const char *const *texts, const size_t *lens, size_t n,
                              silr_tokens *ids, size_t *start, silr_error *err)
{
    silr_status st = SILR_OK;

    for (size_t i = 0; i < n && st == SILR_OK; i++) {
        start[i] = ids->n;
        st = silr_scorer_tokens(s, texts[i], lens[i], ids, err);
    }
    start[n] = ids->n;
    return st;
}

/* --- names of matrices ---------------------------------------------------------------------------- */

static const struct {
    const char *name, *hf;
    silr_part part;
} words[] = {{"q", "q_proj", SILR_PART_Q},          {"k", "k_proj", SILR_PART_K},
             {"v", "v_proj", SILR_PART_V},          {"o", "o_proj", SILR_PART_O},
             {"gate", "gate_proj", SILR_PART_GATE}, {"up", "up_proj", SILR_PART_UP},
             {"down", "down_proj", SILR_PART_DOWN}};
enum { WORDS = sizeof words / sizeof *words };

static bool is(const char *at, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(at, word, len) == 0;
}

silr_status silr_targets_parse(uint32_t *out, const char *text, silr_error *err)
{
    static const char *const between = ", \t";

    *out = 0;
    for (const char *at = text + strspn(text, between); *at; at += strspn(at, between)) {
        const size_t len = strcspn(at, between);
        bool found = false;
        for (size_t i = 0; i < WORDS; i++)
            if (is(at, len, words[i].name) || is(at, len, words[i].hf) || is(at, len, "all") ||
                is(at, len, "all-linear")) {
                *out |= 1U << words[i].part;
                found = true;
            }
        if (!found)
            return silr_fail(err, SILR_EINPUT, "classifier.targets: \"%.*s\" is no matrix: name some of q, "
                             "k, v, o, gate, up, down, or all", (int)(len < 60 ? len : 60), at);
        at += len;
    }
    return *out ? SILR_OK
                : silr_fail(err, SILR_EINPUT, "classifier.targets names no matrix: for example q, v");
}
