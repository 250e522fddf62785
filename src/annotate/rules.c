/* rules.c - patterns and a lexicon as an annotator; the voting itself is in ballot.c. */
#include "annotate/internal.h"
#include <math.h>

typedef struct {
    silr_annotator base;
    silr_ballot *ballot;
} rules_annotator;

/* Hands what the rules say on to the caller's sink. */
typedef struct {
    const silr_corpus *corpus;
    silr_annotation_sink sink;
    void *ctx;
} relay;

static silr_status pass_on(void *ctx, size_t doc, const silr_verdict_of_rules *v, silr_error *err)
{
    const relay *r = ctx;
    silr_annotation a = {.label = v->label, .confidence = v->share, .votes = v->votes,
                         .basis = v->label == SILR_NO_LABEL ? SILR_BASIS_NONE : SILR_BASIS_VOTES};

    if (v->tied)
        a.reason = "a tie";
    else if (v->label == SILR_NO_LABEL)
        a.reason = silr_corpus_empty(r->corpus, doc) ? "empty text" : "no rule matched";
    return r->sink(r->ctx, doc, &a, err);
}

static silr_status annotate(silr_annotator *base, const silr_corpus *c, const uint32_t *docs,
                            size_t n, silr_annotation_sink sink, void *ctx, silr_error *err)
{
    relay r = {c, sink, ctx};
    return silr_ballot_hold(((rules_annotator *)base)->ballot, "annotating", c, docs, n, pass_on,
                            &r, err);
}

static void rules_free(silr_annotator *base)
{
    silr_ballot_free(((rules_annotator *)base)->ballot);
    silr_free(base);
}

silr_status silr_rules_new(silr_annotator **out, const silr_task *task, silr_error *err)
{
    rules_annotator *a = silr_calloc(1, sizeof *a);
    silr_status st = a ? silr_ballot_new(&a->ballot, task, err) : silr_fail_memory(err);

    if (st != SILR_OK) {
        silr_free(a);
        return st;
    }
    a->base = (silr_annotator){.kind = "rules", .annotate = annotate, .free = rules_free};
    *out = &a->base;
    return SILR_OK;
}
