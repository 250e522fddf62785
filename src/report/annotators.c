/* annotators.c - who gave the first labels, how many, how right they are, what it took.
 *
 * Read from the store once; rendered for the terminal and as JSON here, for the page in asked.c. The
 * truth comes in as it does for everything in this folder: counted, never used. */
#include "report/inside.h"
#include "chat/chat.h"

#include <math.h>
#include <string.h>

void silr_annotators_clear(silr_annotators *a)
{
    silr_free(a->row);
    silr_free(a->traffic);
    silr_buf_clear(&a->servers);
    silr_agreement_clear(&a->agreement);
    *a = (silr_annotators){0};
}

/* --- reading ------------------------------------------------------------------------------------- */

typedef struct {
    const silr_task *task;
    const silr_corpus *corpus;
    silr_store *store;
    size_t n;
    int *label, *used; /* [n] of a source; of source 0 */
    uint32_t *pool;
    size_t n_pool;
    silr_sample sample;
    double share[SILR_MAX_CLASSES]; /* of source 0's classes in the pool */
} look;

static silr_status look_init(look *k, silr_error *err)
{
    bool present;
    size_t total = 0;
    silr_status st;

    k->label = silr_alloc(k->n + 1, sizeof *k->label);
    k->used = silr_alloc(k->n + 1, sizeof *k->used);
    k->pool = silr_alloc(k->n + 1, sizeof *k->pool);
    if (!k->label || !k->used || !k->pool)
        return silr_fail_memory(err);
    if ((st = silr_store_sample_get(k->store, &k->sample, &present, err)) != SILR_OK ||
        (st = silr_store_annotations(k->store, SILR_SOURCE_USED, k->n, k->used, NULL, NULL, err)) !=
            SILR_OK)
        return st;
    for (size_t i = 0; i < k->n; i++) {
        if (silr_corpus_split(k->corpus, i) == SILR_TEST)
            continue;
        k->pool[k->n_pool++] = (uint32_t)i;
        if (k->used[i] >= 0) {
            k->share[k->used[i]]++;
            total++;
        }
    }
    for (size_t j = 0; j < k->task->n_classes; j++)
        k->share[j] /= total ? (double)total : 1;
    return SILR_OK;
}

static void look_clear(look *k)
{
    silr_free(k->label);
    silr_free(k->used);
    silr_free(k->pool);
    silr_sample_clear(&k->sample);
}

/* How right the source is on the labelled texts, which were drawn by source 0's labels. */
static silr_status estimate(silr_annotator_row *row, const look *k, silr_error *err)
{
    int *stratum = silr_alloc(k->sample.n + 1, sizeof *stratum);
    int *right = silr_alloc(k->sample.n + 1, sizeof *right);
    double *weight = silr_alloc(k->sample.n + 1, sizeof *weight);
    size_t n = 0;

    row->estimated = (silr_interval){NAN, NAN, NAN};
    if (!stratum || !right || !weight) {
        silr_free(stratum);
        silr_free(right);
        silr_free(weight);
        return silr_fail_memory(err);
    }
    for (size_t i = 0; i < k->sample.n; i++) {
        size_t d = k->sample.doc[i];
        if (d >= k->n || k->label[d] < 0 || k->used[d] < 0)
            continue;
        stratum[n] = k->used[d];
        weight[n] = k->sample.weight[i];
        right[n++] = k->label[d] == k->sample.truth[i];
    }
    if (n > 0)
        silr_certificate(&row->estimated, n, stratum, right, weight, k->task->n_classes, k->share,
                         (uint64_t)k->task->seed);
    silr_free(stratum);
    silr_free(right);
    silr_free(weight);
    return SILR_OK;
}

static silr_status measure(silr_annotator_row *row, const look *k, silr_error *err)
{
    silr_scores *s;

    row->measured = NAN;
    if (silr_corpus_info(k->corpus)->truths == 0)
        return SILR_OK;
    if (!(s = silr_calloc(1, sizeof *s)))
        return silr_fail_memory(err);
    silr_scores_make(s, k->corpus, (int)k->task->n_classes, k->pool, k->n_pool, k->label, false);
    if (s->n > 0)
        row->measured = s->accuracy;
    silr_free(s);
    return SILR_OK;
}

static silr_status read_row(silr_annotator_row *row, const silr_source_count *c, const look *k,
                            silr_error *err)
{
    silr_status st;

    *row = (silr_annotator_row){.source = c->source, .member = c->source / SILR_SOURCE_ROUNDS,
                                .round = c->source % SILR_SOURCE_ROUNDS, .asked = c->asked,
                                .labelled = c->labelled, .abstained = c->abstained,
                                .failed = c->failed};
    memcpy(row->basis, c->basis, sizeof row->basis);
    snprintf(row->name, sizeof row->name, "%s",
             c->name[0] ? c->name : silr_task_annotator(silr_task_in_use(k->task)));
    st = silr_store_annotations(k->store, c->source, k->n, k->label, NULL, NULL, err);
    if (st == SILR_OK)
        st = estimate(row, k, err);
    return st == SILR_OK ? measure(row, k, err) : st;
}

static silr_status read_rows(silr_annotators *a, const look *k, silr_error *err)
{
    size_t n = 0, room;
    silr_source_count *c = NULL;
    silr_status st = silr_store_sources(k->store, NULL, 0, &n, err);

    room = n;
    if (st != SILR_OK || n == 0)
        return st;
    c = silr_calloc(room, sizeof *c);
    a->row = silr_calloc(room, sizeof *a->row);
    st = c && a->row ? silr_store_sources(k->store, c, room, &n, err) : silr_fail_memory(err);
    for (; st == SILR_OK && a->n < room && a->n < n; a->n++)
        st = read_row(&a->row[a->n], &c[a->n], k, err);
    silr_free(c);
    return st;
}

static silr_status take_count(void *ctx, const char *what, int64_t n, silr_error *err)
{
    silr_annotators *a = ctx;
    silr_traffic *more = silr_realloc(a->traffic, a->n_traffic + 1, sizeof *more);

    if (!more)
        return silr_fail_memory(err);
    a->traffic = more;
    snprintf(more[a->n_traffic].what, sizeof more->what, "%s", what);
    more[a->n_traffic++].n = n;
    return SILR_OK;
}

typedef struct {
    silr_annotators *a;
    const silr_task *task; /* of the annotator at hand */
} server_look;

/* "url: words", for the models that the task names. */
static silr_status take_server(void *ctx, const char *url, const char *model, const char *facts,
                               silr_error *err)
{
    server_look *k = ctx;
    const silr_task *used = silr_task_in_use(k->task);
    size_t members = used->annotator.kind == SILR_ANNOTATOR_SEVERAL ? used->annotator.n_members : 0;
    silr_server s;

    for (size_t i = 0; i < (members ? members : 1); i++) {
        const silr_task *t = members ? used->annotator.member[i] : used;
        const char *name = t->annotator.chat.model;
        size_t len = name ? strlen(name) : 0;
        if (t->annotator.kind != SILR_ANNOTATOR_CHAT || !name ||
            strncmp(model, name, len) != 0 || model[len] != ' ' ||
            !silr_server_from_json(&s, facts, strlen(facts)))
            continue;
        silr_buf_printf(&k->a->servers, "%s at %s: ", name, url);
        silr_server_tell(&s, t, &k->a->servers);
        silr_buf_putc(&k->a->servers, '\n');
        break;
    }
    return k->a->servers.failed ? silr_fail_memory(err) : SILR_OK;
}

/* Is an endpoint asked? A model in this process sends nothing and costs nothing: no word on either. */
static bool asks_endpoint(const silr_task *task)
{
    const silr_task *used = silr_task_in_use(task);
    bool asks = used->annotator.kind == SILR_ANNOTATOR_CHAT;

    for (size_t i = 0; used->annotator.kind == SILR_ANNOTATOR_SEVERAL && i < used->annotator.n_members; i++)
        asks = asks || used->annotator.member[i]->annotator.kind == SILR_ANNOTATOR_CHAT;
    return asks;
}

static silr_status read_model(silr_annotators *a, const silr_task *task, silr_store *store,
                              silr_error *err)
{
    silr_ledger *ledger = silr_store_ledger(store);
    server_look k = {a, task};
    silr_status st;

    a->model = asks_endpoint(task);
    if (!a->model)
        return SILR_OK;
    a->examples = silr_examples_wanted(task);
    if ((st = silr_ledger_sum(ledger, &a->sums, err)) != SILR_OK ||
        (st = silr_ledger_counts(ledger, take_count, a, err)) != SILR_OK)
        return st;
    return silr_ledger_servers(ledger, take_server, &k, err);
}

static silr_status read_agreement(silr_annotators *a, const look *k, silr_error *err)
{
    silr_store_voters v;
    silr_status st = silr_store_votes(&v, k->store, k->task, k->n, err);

    if (st == SILR_OK && v.votes.M > 1) {
        st = silr_agreement_make(&a->agreement, &v.votes, err);
        a->several = st == SILR_OK;
    }
    silr_store_votes_clear(&v);
    return st;
}

silr_status silr_annotators_read(silr_annotators *out, const silr_task *task,
                                 const silr_corpus *corpus, silr_store *store, silr_error *err)
{
    look k = {.task = task, .corpus = corpus, .store = store, .n = silr_corpus_size(corpus)};
    silr_status st;

    *out = (silr_annotators){0};
    if ((st = look_init(&k, err)) == SILR_OK && (st = read_rows(out, &k, err)) == SILR_OK &&
        (st = read_model(out, task, store, err)) == SILR_OK)
        st = read_agreement(out, &k, err);
    look_clear(&k);
    if (st != SILR_OK)
        silr_annotators_clear(out);
    return st;
}

/* --- JSON ---------------------------------------------------------------------------------------- */

static void number(silr_buf *b, const char *name, double v)
{
    silr_buf_printf(b, ",\"%s\":", name);
    silr_buf_number(b, v, 6);
}

static void row_json(const silr_annotator_row *r, silr_buf *b)
{
    const char *comma = "";

    silr_buf_puts(b, "{\"name\":");
    silr_buf_json(b, r->name, strlen(r->name));
    silr_buf_printf(b, ",\"member\":%d,\"check\":%d,\"asked\":%zu,\"labelled\":%zu,\"abstained\":%zu,"
                    "\"failed\":%zu,\"confidence\":{", r->member, r->round, r->asked, r->labelled,
                    r->abstained, r->failed);
    for (int k = 0; k < 4; k++)
        if (r->basis[k] > 0) {
            silr_buf_printf(b, "%s\"%s\":%zu", comma, silr_basis_name((silr_basis)k), r->basis[k]);
            comma = ",";
        }
    silr_buf_puts(b, "},\"estimated_accuracy\":");
    if (isnan(r->estimated.value)) {
        silr_buf_puts(b, "null");
    } else {
        silr_buf_puts(b, "{\"value\":");
        silr_buf_number(b, r->estimated.value, 6);
        number(b, "low", r->estimated.low);
        number(b, "high", r->estimated.high);
        silr_buf_putc(b, '}');
    }
    number(b, "accuracy", r->measured);
    silr_buf_putc(b, '}');
}

static void model_json(const silr_annotators *a, silr_buf *b)
{
    const silr_ledger_sums *s = &a->sums;

    silr_buf_printf(b, ",\n\"model\":{\"answers\":%zu,\"from_cache\":%zu,\"by_batch\":%zu,"
                    "\"prompt_tokens\":%lld,\"cached_prompt_tokens\":%lld,\"completion_tokens\":%lld,"
                    "\"examples\":%zu", s->answers, s->cached, s->batched, (long long)s->prompt_tokens,
                    (long long)s->cached_tokens, (long long)s->completion_tokens, a->examples);
    number(b, "cost", s->cost);
    number(b, "seconds_an_answer", s->seconds);
    silr_buf_puts(b, ",\"servers\":");
    silr_buf_json(b, a->servers.data ? a->servers.data : "", a->servers.len);
    silr_buf_puts(b, ",\"traffic\":{");
    for (size_t i = 0; i < a->n_traffic; i++) {
        silr_buf_puts(b, i ? "," : "");
        silr_buf_json(b, a->traffic[i].what, strlen(a->traffic[i].what));
        silr_buf_printf(b, ":%lld", (long long)a->traffic[i].n);
    }
    silr_buf_puts(b, "}}");
}

const char *silr_annotators_member(const silr_annotators *a, int m)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->row[i].member == m + 1 && a->row[i].round == 0)
            return a->row[i].name;
    return "?";
}

static void agreement_json(const silr_annotators *a, silr_buf *b)
{
    const silr_agreement *g = &a->agreement;

    silr_buf_printf(b, ",\n\"agreement\":{\"texts\":%zu,\"labelled\":%zu,\"compared\":%zu,"
                    "\"unanimous\":%zu,\"tied\":%zu", g->n, g->labelled, g->compared, g->unanimous,
                    g->tied);
    number(b, "alpha", g->alpha);
    silr_buf_puts(b, ",\"pairs\":[");
    for (size_t i = 0; i < g->pairs; i++) {
        const silr_agreement_pair *p = &g->pair[i];
        const char *x = silr_annotators_member(a, p->a), *y = silr_annotators_member(a, p->b);
        silr_buf_puts(b, i ? ",\n {\"a\":" : "{\"a\":");
        silr_buf_json(b, x, strlen(x));
        silr_buf_puts(b, ",\"b\":");
        silr_buf_json(b, y, strlen(y));
        silr_buf_printf(b, ",\"both\":%zu,\"same\":%zu", p->both, p->same);
        number(b, "agreement", p->agreement);
        number(b, "low", p->low);
        number(b, "high", p->high);
        number(b, "kappa", p->kappa);
        silr_buf_putc(b, '}');
    }
    silr_buf_puts(b, "]}");
}

void silr_annotators_json(const silr_annotators *a, silr_buf *out)
{
    silr_buf_puts(out, "{\"annotators\":[");
    for (size_t i = 0; i < a->n; i++) {
        silr_buf_puts(out, i ? ",\n " : "");
        row_json(&a->row[i], out);
    }
    silr_buf_putc(out, ']');
    if (a->model)
        model_json(a, out);
    if (a->several)
        agreement_json(a, out);
    silr_buf_putc(out, '}');
}

/* --- the terminal -------------------------------------------------------------------------------- */

static void put_accuracy(const silr_annotator_row *r, silr_buf *b)
{
    if (!isnan(r->estimated.value))
        silr_buf_printf(b, "%.3f (%.3f to %.3f)", r->estimated.value, r->estimated.low,
                        r->estimated.high);
    else
        silr_buf_printf(b, "%-22s", "-");
    if (!isnan(r->measured))
        silr_buf_printf(b, "  %.3f", r->measured);
}

static const char *basis_of(const silr_annotator_row *r)
{
    int most = 0;
    for (int k = 1; k < 4; k++)
        if (r->basis[k] > r->basis[most])
            most = k;
    return r->labelled ? silr_basis_name((silr_basis)most) : "-";
}

static void rows_text(const silr_annotators *a, silr_buf *b)
{
    bool measured = false;

    for (size_t i = 0; i < a->n; i++)
        measured = measured || !isnan(a->row[i].measured);
    silr_buf_printf(b, "%-28s %8s %8s %8s %7s  %-17s  %s%s\n", "annotator", "texts", "labelled", "abstain",
                    "failed", "confidence from", "right (labelled sample)", measured ? "  measured" : "");
    for (size_t i = 0; i < a->n; i++) {
        const silr_annotator_row *r = &a->row[i];
        silr_buf_printf(b, "%-28.28s %8zu %8zu %8zu %7zu  %-17s  ", r->name, r->asked, r->labelled,
                        r->abstained, r->failed, basis_of(r));
        put_accuracy(r, b);
        silr_buf_putc(b, '\n');
    }
}

static void agreement_text(const silr_annotators *a, silr_buf *b)
{
    const silr_agreement *g = &a->agreement;

    silr_buf_printf(b, "\nagreement on %zu texts with two labels or more: all agree on %zu (%.1f %%), no "
                    "majority on %zu (%.1f %%)", g->compared, g->unanimous,
                    g->compared ? 100.0 * (double)g->unanimous / (double)g->compared : 0.0, g->tied,
                    g->compared ? 100.0 * (double)g->tied / (double)g->compared : 0.0);
    if (!isnan(g->alpha))
        silr_buf_printf(b, ", Krippendorff's alpha %.3f", g->alpha);
    silr_buf_puts(b, "\n");
    for (size_t i = 0; i < g->pairs; i++) {
        const silr_agreement_pair *p = &g->pair[i];
        silr_buf_printf(b, "  %-24.24s %-24.24s ", silr_annotators_member(a, p->a), silr_annotators_member(a, p->b));
        if (p->both > 0)
            silr_buf_printf(b, "%.3f (%.3f to %.3f) of %zu", p->agreement, p->low, p->high, p->both);
        else
            silr_buf_puts(b, "no text in common");
        if (!isnan(p->kappa))
            silr_buf_printf(b, ", kappa %.3f", p->kappa);
        silr_buf_putc(b, '\n');
    }
}

static void model_text(const silr_annotators *a, silr_buf *b)
{
    const silr_ledger_sums *s = &a->sums;

    silr_buf_printf(b, "\nanswers: %zu", s->answers);
    if (s->cached > 0)
        silr_buf_printf(b, ", %zu of them from the cache", s->cached);
    if (s->batched > 0)
        silr_buf_printf(b, ", %zu by batch", s->batched);
    silr_buf_printf(b, "; tokens: %lld in", (long long)s->prompt_tokens);
    if (s->cached_tokens > 0)
        silr_buf_printf(b, " (%lld cached by the server)", (long long)s->cached_tokens);
    silr_buf_printf(b, ", %lld out; cost: ", (long long)s->completion_tokens);
    if (isnan(s->cost))
        silr_buf_puts(b, "no price known (annotator.prices)");
    else
        silr_buf_printf(b, "%.4f", s->cost);
    if (!isnan(s->seconds))
        silr_buf_printf(b, "; %.2f s an answer", s->seconds);
    silr_buf_puts(b, a->n_traffic ? "\non the way:" : "");
    for (size_t i = 0; i < a->n_traffic; i++)
        silr_buf_printf(b, "%s %s %lld", i ? "," : "", a->traffic[i].what, (long long)a->traffic[i].n);
    silr_buf_putc(b, '\n');
    silr_buf_add(b, a->servers.data, a->servers.len);
}

void silr_annotators_text(const silr_annotators *a, silr_buf *out)
{
    rows_text(a, out);
    if (a->several)
        agreement_text(a, out);
    if (a->model)
        model_text(a, out);
}
