/* local.c - a language model in this process as an annotator.
 *
 * It is given the prompt that a model behind an endpoint is given (chat/prompt.c), but answers
 * nothing: for every class the likelihood is computed that its name is the answer,
 *
 *     l_k = log P(name of k | prompt, text)        log p_k = l_k - log sum_j exp l_j,
 *
 * and the class with the largest is the label. All that texts share of their prompts is read once
 * (engine.h, silr_prefix); names of one token take one look at the last position, longer ones are
 * read behind the text. A text's result depends on its own prompt only; of several ranks each reads its
 * share (reader.h).
 *
 * annotator.calibrate: contextual takes off what the model would say of no text at all: l_k - l_k(""),
 * method.md B7. annotator.margin abstains where the two likeliest classes are closer than that. */
#include "annotate/internal.h"
#include "annotate/reader.h"
#include "chat/chat.h"
#include "hub/hub.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    silr_annotator base;
    const silr_task *task;
    silr_annotator_means means;
    char *path;           /* of the model */
    silr_reader reader;
    silr_crew *crew;      /* all ranks' readers; NULL until there is something to read */
    silr_prompt *prompt;
    silr_talk talk;
    silr_tokens begin;    /* the ids of the prefix */
    float *off;           /* [K] what is taken off; NULL: nothing */
    silr_sha256 hash;
} local;

/* The texts of a call, as the engine takes them. */
typedef struct {
    silr_tokens ids;
    size_t *start; /* [n + 1] */
    float *l;      /* [n][K] */
} asked;

static const char too_long[] = "the prompt and the text are longer than the model can read; "
                               "corpus.max_bytes cuts texts";
static const char no_former[] = "an earlier round has no answer to be checked";

/* --- the prompt in tokens ----------------------------------------------------------------------------- */

/* The conversation about a text: turns before it, its own, and `former` answers with the request to
 * check each. answer: the answer itself follows; NULL: it is the model's turn. */
static silr_status encode(const local *m, const char *text, size_t len, const char *const *former,
                          size_t n_former, const char *answer, silr_tokens *out, silr_error *err)
{
    size_t n_head, n = 0;
    const silr_message *head = silr_prompt_turns(m->prompt, &n_head);
    silr_turn *turn = silr_alloc(n_head + 2 * n_former + 2, sizeof *turn);
    silr_buf own = {0};
    silr_status st;

    silr_prompt_own(m->prompt, text, len, &own);
    if (!turn || own.failed) {
        st = silr_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < n_head; i++)
        turn[n++] = (silr_turn){(silr_role)head[i].role, head[i].text, head[i].len};
    turn[n++] = (silr_turn){SILR_ROLE_USER, own.data, own.len};
    for (size_t i = 0; i < n_former; i++) {
        turn[n++] = (silr_turn){SILR_ROLE_ASSISTANT, former[i], strlen(former[i])};
        turn[n++] = (silr_turn){SILR_ROLE_USER, silr_prompt_check(), strlen(silr_prompt_check())};
    }
    if (answer && m->talk == SILR_TALK_NONE) { /* a page is gone on with */
        silr_buf_puts(&own, answer);
        turn[0] = (silr_turn){SILR_ROLE_USER, own.data, own.len};
        st = own.failed ? silr_fail_memory(err) : SILR_OK;
    } else {
        if (answer)
            turn[n++] = (silr_turn){SILR_ROLE_ASSISTANT, answer, strlen(answer)};
        st = SILR_OK;
    }
    if (st == SILR_OK)
        st = silr_tokenizer_talk_encode(silr_engine_tokenizer(m->reader.engine), m->talk, turn, 0, n,
                                        !answer && m->talk != SILR_TALK_NONE, out, err);
done:
    silr_buf_clear(&own);
    silr_free(turn);
    return st;
}

static size_t common(const silr_tokens *a, const silr_tokens *b)
{
    size_t n = 0;

    while (n < a->n && n < b->n && a->id[n] == b->id[n])
        n++;
    return n;
}

/* What prompts begin with whatever the text: the common beginning for texts that have nothing in
 * common. One token at least is left to each. */
static silr_status find_begin(local *m, silr_error *err)
{
    static const char *const probes[] = {"A", "z 1", "7", "(x)", "\xc3\xa9"};
    silr_tokens one = {0};
    silr_status st = encode(m, "", 0, NULL, 0, NULL, &m->begin, err);

    for (size_t i = 0; st == SILR_OK && i < sizeof probes / sizeof *probes; i++) {
        one.n = 0;
        if ((st = encode(m, probes[i], strlen(probes[i]), NULL, 0, NULL, &one, err)) == SILR_OK)
            m->begin.n = common(&m->begin, &one);
    }
    silr_tokens_clear(&one);
    return st;
}

/* --- the names of the classes ---------------------------------------------------------------------------- */

static silr_status name_tokens(local *m, int k, bool with_end, silr_error *err)
{
    const silr_tokenizer *t = silr_engine_tokenizer(m->reader.engine);
    const char *name = silr_answer_name(m->task, k);
    silr_tokens open = {0}, whole = {0};
    silr_buf answer = {0};
    silr_status st;

    if (m->talk == SILR_TALK_NONE) { /* a page that ends in a word is gone on with behind a space */
        silr_buf own = {0};
        silr_prompt_own(m->prompt, "x", 1, &own);
        if (own.len > 0 && !strchr(" \n\t", own.data[own.len - 1]))
            silr_buf_putc(&answer, ' ');
        answer.failed = answer.failed || own.failed;
        silr_buf_clear(&own);
    }
    silr_buf_puts(&answer, name);
    if (m->talk == SILR_TALK_NONE && with_end) /* as the answers of the examples end */
        silr_buf_putc(&answer, '\n');
    st = answer.failed ? silr_fail_memory(err) : encode(m, "x", 1, NULL, 0, NULL, &open, err);
    if (st == SILR_OK)
        st = encode(m, "x", 1, NULL, 0, answer.data, &whole, err);
    for (size_t i = common(&open, &whole); st == SILR_OK && i < whole.n; i++) {
        const bool special = silr_tokenizer_is_special(t, whole.id[i]);
        if (special && !with_end)
            break;
        st = silr_tokens_add(&m->reader.names, whole.id[i], err);
        if (special)
            break;
    }
    m->reader.name[k + 1] = m->reader.names.n;
    if (st == SILR_OK && m->reader.name[k + 1] == m->reader.name[k])
        st = silr_fail(err, SILR_EINPUT, "the model's tokenizer has no token for the class \"%.80s\"", name);
    silr_tokens_clear(&open);
    silr_tokens_clear(&whole);
    silr_buf_clear(&answer);
    return st;
}

/* Does a name's sequence of tokens begin another's? Then only the end tells them apart. */
static bool one_begins_another(const local *m)
{
    for (size_t a = 0; a < m->task->n_classes; a++)
        for (size_t b = 0; b < m->task->n_classes; b++) {
            const size_t n = m->reader.name[a + 1] - m->reader.name[a];
            if (a != b && n <= m->reader.name[b + 1] - m->reader.name[b] &&
                memcmp(m->reader.names.id + m->reader.name[a], m->reader.names.id + m->reader.name[b], n * sizeof *m->reader.names.id) == 0)
                return true;
        }
    return false;
}

static silr_status find_names(local *m, silr_error *err)
{
    const size_t K = m->task->n_classes;
    silr_status st = SILR_OK;

    if (!(m->reader.name = silr_calloc(K + 1, sizeof *m->reader.name)))
        return silr_fail_memory(err);
    for (int with_end = 0; st == SILR_OK && with_end < 2; with_end++) {
        m->reader.names.n = 0;
        for (size_t k = 0; st == SILR_OK && k < K; k++)
            st = name_tokens(m, (int)k, with_end != 0, err);
        if (st != SILR_OK || !one_begins_another(m))
            break;
        if (with_end)
            st = silr_fail(err, SILR_EINPUT, "to this model two of the class names look alike: give "
                           "the classes names that differ in their first word");
    }
    m->reader.n_names = K;
    m->reader.single = st == SILR_OK && m->reader.names.n == K;
    return st;
}

/* --- likelihoods ------------------------------------------------------------------------------------------- */

static silr_prompts prompts(const asked *a, size_t n, bool whole)
{
    return (silr_prompts){a->ids.id, a->start, n, whole};
}

/* All ranks get ready to read. */
static silr_status gather_crew(local *m, silr_error *err)
{
    const silr_reader_origin o = {m->path, (silr_weights_kept)m->task->annotator.weights, m->hash, &m->begin};

    if (m->crew)
        return SILR_OK;
    if (silr_dist_size() > 1)
        silr_progress("loading the model on all ranks", 0, 0);
    return silr_reader_crew(&m->crew, &m->reader, &o, err);
}

/* Adds a prompt to the texts of a call, less the common beginning; *whole: it does not begin so, and is
 * there in full. */
static silr_status add(const local *m, asked *a, size_t i, const silr_tokens *prompt, bool *whole,
                       silr_error *err)
{
    const size_t begin = m->begin.n;
    silr_status st = SILR_OK;

    *whole = !m->reader.prefix || prompt->n <= begin || common(prompt, &m->begin) < begin;
    for (size_t k = *whole ? 0 : begin; st == SILR_OK && k < prompt->n; k++)
        st = silr_tokens_add(&a->ids, prompt->id[k], err);
    a->start[i + 1] = a->ids.n;
    return st;
}

/* How many tokens may stand in a prompt with the longest name behind it. */
static size_t room(const local *m)
{
    size_t longest = 1;

    for (size_t k = 0; k < m->task->n_classes; k++)
        if (m->reader.name[k + 1] - m->reader.name[k] > longest)
            longest = m->reader.name[k + 1] - m->reader.name[k];
    return silr_engine_max_tokens(m->reader.engine) - (longest - 1);
}

static void to_log_probabilities(const local *m, const float *l, float *logp)
{
    const size_t K = m->task->n_classes;
    double most = -INFINITY, sum = 0;

    for (size_t k = 0; k < K; k++) {
        logp[k] = m->off ? l[k] - m->off[k] : l[k];
        most = (double)logp[k] > most ? (double)logp[k] : most;
    }
    for (size_t k = 0; k < K; k++)
        sum += exp((double)logp[k] - most);
    for (size_t k = 0; k < K; k++)
        logp[k] = (float)((double)logp[k] - most - log(sum));
}

/* --- annotating ------------------------------------------------------------------------------------------- */

/* The likeliest class; ties go to the first. *lead: by how much, in log-probability. */
static int best_of(const float *logp, size_t K, float *lead)
{
    size_t best = 0;

    for (size_t k = 1; k < K; k++)
        if (logp[k] > logp[best])
            best = k;
    *lead = INFINITY;
    for (size_t k = 0; k < K; k++)
        if (k != best && logp[best] - logp[k] < *lead)
            *lead = logp[best] - logp[k];
    return (int)best;
}

/* why: it was not asked; NULL: it was, l [K] are the likelihoods. */
static silr_status tell(const local *m, uint32_t doc, const float *l, const char *why,
                        silr_annotation_sink sink, void *ctx, silr_error *err)
{
    float logp[64], lead;
    silr_annotation a = {.label = SILR_NO_LABEL, .confidence = (float)NAN};

    if (why) {
        a.reason = why;
        return sink(ctx, doc, &a, err);
    }
    to_log_probabilities(m, l, logp);
    const int best = best_of(logp, m->task->n_classes, &lead);
    a.raw = silr_answer_name(m->task, best);
    a.logp = logp;
    if ((double)lead < m->task->annotator.margin) {
        a.reason = "the two likeliest classes are closer than annotator.margin";
    } else {
        a.label = best;
        a.basis = SILR_BASIS_LOGPROBS;
        a.confidence = expf(logp[best]);
    }
    return sink(ctx, doc, &a, err);
}

/* The names of what was answered in earlier rounds; false: not all of them had an answer. */
static bool former_answers(const local *m, uint32_t doc, const char **former)
{
    for (int r = 0; r < m->means.round; r++) {
        const int k = m->means.former ? m->means.former[r][doc] : SILR_NO_LABEL;
        if (k < 0)
            return false;
        former[r] = silr_answer_name(m->task, k);
    }
    return true;
}

/* A call of annotate. */
typedef struct {
    const silr_corpus *c;
    const uint32_t *docs;
    size_t n;
    asked a;
    float *l, *some;     /* [n][K] by document; by text of one pass */
    const char **why;    /* [n] not asked, and why; NULL: asked */
    uint32_t *which;     /* [n] the documents of a pass */
} errand;

/* The prompts of one pass: of those that share the beginning, or of the others, which are read whole. */
static silr_status prepare(const local *m, errand *e, bool wholes, size_t *n_asked, silr_error *err)
{
    const size_t most = room(m);
    const char *former[32];
    silr_tokens prompt = {0};
    silr_status st = SILR_OK;

    e->a.ids.n = *n_asked = 0;
    for (size_t i = 0; st == SILR_OK && i < e->n; i++) {
        const size_t kept = e->a.ids.n;
        size_t len;
        bool whole = false;
        const char *text = silr_corpus_text(e->c, e->docs[i], &len);
        prompt.n = 0;
        if (!former_answers(m, e->docs[i], former)) {
            e->why[i] = no_former;
            continue;
        }
        st = encode(m, text, len, former, (size_t)m->means.round, NULL, &prompt, err);
        if (st == SILR_OK && prompt.n > most) {
            e->why[i] = too_long;
            continue;
        }
        if (st == SILR_OK)
            st = add(m, &e->a, *n_asked, &prompt, &whole, err);
        if (whole == wholes)
            e->which[(*n_asked)++] = (uint32_t)i;
        else
            e->a.ids.n = kept;
    }
    silr_tokens_clear(&prompt);
    return st;
}

static silr_status ask(const local *m, errand *e, silr_error *err)
{
    const size_t K = m->task->n_classes;
    silr_status st = SILR_OK;

    for (int wholes = 0; st == SILR_OK && wholes < 2; wholes++) {
        size_t k = 0;
        st = prepare(m, e, wholes != 0, &k, err);
        if (st == SILR_OK) {
            const silr_prompts p = prompts(&e->a, k, wholes != 0);
            st = silr_reader_read_all(m->crew, &m->reader, &p, e->some, err);
        }
        for (size_t i = 0; st == SILR_OK && i < k; i++)
            memcpy(e->l + e->which[i] * K, e->some + i * K, K * sizeof *e->l);
    }
    return st;
}

static silr_status annotate(silr_annotator *base, const silr_corpus *c, const uint32_t *docs,
                            size_t n, silr_annotation_sink sink, void *ctx, silr_error *err)
{
    local *m = (local *)base;
    const size_t K = m->task->n_classes;
    errand e = {.c = c, .docs = docs, .n = n, .a = {.start = silr_calloc(n + 1, sizeof *e.a.start)},
                .l = silr_alloc(n * K + 1, sizeof *e.l), .some = silr_alloc(n * K + 1, sizeof *e.l),
                .why = silr_calloc(n + 1, sizeof *e.why),
                .which = silr_alloc(n + 1, sizeof *e.which)};
    silr_status st = e.a.start && e.l && e.some && e.why && e.which ? SILR_OK : silr_fail_memory(err);

    if (st == SILR_OK && (st = gather_crew(m, err)) == SILR_OK)
        st = ask(m, &e, err);
    for (size_t i = 0; st == SILR_OK && i < n; i++)
        st = tell(m, docs[i], e.l + i * K, e.why[i], sink, ctx, err);
    silr_tokens_clear(&e.a.ids);
    silr_free(e.a.start);
    silr_free(e.l);
    silr_free(e.some);
    silr_free(e.why);
    silr_free(e.which);
    return st;
}

/* --- making ready ------------------------------------------------------------------------------------------- */

static silr_status calibrate(local *m, silr_error *err)
{
    size_t start[2] = {0, 0};
    asked a = {.start = start};
    silr_tokens prompt = {0};
    bool whole;
    silr_status st;

    if (m->task->annotator.chat.calibrate == SILR_CALIBRATE_NONE)
        return SILR_OK;
    if (!(m->off = silr_alloc(m->task->n_classes, sizeof *m->off)))
        return silr_fail_memory(err);
    if ((st = encode(m, "", 0, NULL, 0, NULL, &prompt, err)) == SILR_OK &&
        (st = add(m, &a, 0, &prompt, &whole, err)) == SILR_OK) {
        const silr_prompts p = prompts(&a, 1, whole);
        st = silr_reader_read(&m->reader, &p, m->off, err);
    }
    silr_tokens_clear(&prompt);
    silr_tokens_clear(&a.ids);
    return st;
}

/* How the model's conversations are written: as the task says, else as the model does. */
static silr_status choose_talk(local *m, const char *path, silr_error *err)
{
    m->talk = m->task->annotator.talk > 0 ? (silr_talk)(m->task->annotator.talk - 1)
                                          : silr_tokenizer_talk(silr_engine_tokenizer(m->reader.engine));
    if (m->talk == SILR_TALK_UNKNOWN)
        return silr_fail(err, SILR_EINPUT,
                         "%s: its conversations are written in a way that silr does not know: say "
                         "which is nearest with annotator.talk (none: a plain page)", path);
    if (m->talk == SILR_TALK_NONE && m->means.round > 0)
        return silr_fail(err, SILR_EINPUT, "annotator.self_refine needs a model that can hold a "
                         "conversation, and %s is used without one", path);
    return SILR_OK;
}

static silr_status open_all(local *m, const char *path, silr_error *err)
{
    const silr_engine_opts opts = {.keep = (silr_weights_kept)m->task->annotator.weights};
    silr_status st = silr_engine_open(&m->reader.engine, path, &opts, err);

    if (st == SILR_OK && !silr_engine_spec(m->reader.engine)->causal)
        st = silr_fail(err, SILR_EINPUT, "%s is an encoder: it embeds texts (classifier: {kind: "
                       "frozen}), but answers nothing", path);
    if (st != SILR_OK || (st = choose_talk(m, path, err)) != SILR_OK)
        return st;
    st = m->talk == SILR_TALK_NONE
             ? silr_prompt_page(&m->prompt, m->task, m->means.example, m->means.n_examples, err)
             : silr_prompt_new(&m->prompt, m->task, m->means.example, m->means.n_examples, true, err);
    if (st == SILR_OK && (st = find_begin(m, err)) == SILR_OK && (st = find_names(m, err)) == SILR_OK &&
        m->begin.n > 0 && m->begin.n < room(m))
        st = silr_prefix_new(&m->reader.prefix, m->reader.engine, m->begin.id, m->begin.n, err);
    if (st == SILR_OK && m->begin.n >= room(m))
        st = silr_fail(err, SILR_EINPUT, "%s reads %zu tokens, and the prompt alone has %zu: give it "
                       "fewer or shorter examples", path, silr_engine_max_tokens(m->reader.engine), m->begin.n);
    if (st == SILR_OK)
        st = calibrate(m, err);
    if (st == SILR_OK)
        st = silr_weights_hash(silr_engine_weights(m->reader.engine), &m->hash, err);
    m->base.identity = m->hash.hex;
    return st;
}

static void local_free(silr_annotator *base)
{
    local *m = (local *)base;

    silr_crew_free(m->crew);
    silr_reader_clear(&m->reader);
    silr_tokens_clear(&m->begin);
    silr_free(m->off);
    silr_prompt_free(m->prompt);
    silr_free(m->path);
    silr_free(m);
}

silr_status silr_local_new(silr_annotator **out, const silr_task *task,
                           const silr_annotator_means *means, silr_error *err)
{
    local *m = silr_calloc(1, sizeof *m);
    silr_status st = m ? silr_hub_find_from(&m->path, task->dir, task->annotator.chat.model, err)
                       : silr_fail_memory(err);

    *out = NULL;
    if (st == SILR_OK) {
        m->base = (silr_annotator){.kind = "local", .batch = 64 * (size_t)silr_dist_size(),
                                   .annotate = annotate, .free = local_free};
        m->task = task;
        m->means = means ? *means : (silr_annotator_means){0};
        st = open_all(m, m->path, err);
    }
    if (st != SILR_OK) {
        if (m)
            local_free(&m->base);
        return st;
    }
    *out = &m->base;
    return SILR_OK;
}
