/* classifier.c - from the task to the classifier it names. */
#include "classify/qlora.h"
#include "hub/hub.h"

#include <stdlib.h>
#include <string.h>

static const char *corpus_text(const void *ctx, size_t i, size_t *len)
{
    return silr_corpus_text(ctx, i, len);
}

static int at_most(int64_t v, int64_t most)
{
    return (int)(v < most ? v : most);
}

static silr_status ngram_opts(silr_ngram_opts *o, const silr_task *task, silr_error *err)
{
    *o = (silr_ngram_opts){
        .word_min = at_most(task->classifier.word_min, SILR_NGRAM_LONGEST),
        .word_max = at_most(task->classifier.word_max, SILR_NGRAM_LONGEST),
        .char_min = at_most(task->classifier.char_min, SILR_NGRAM_LONGEST),
        .char_max = at_most(task->classifier.char_max, SILR_NGRAM_LONGEST),
        .bits = at_most(task->classifier.bits, SILR_NGRAM_BITS),
        .lowercase = task->classifier.lowercase,
        .weight = task->classifier.weight,
        .min_count = (uint32_t)at_most(task->classifier.min_count, INT32_MAX)};
    if ((o->word_max > 0 && (o->word_min < 1 || o->word_min > o->word_max)) ||
        (o->char_max > 0 && (o->char_min < 1 || o->char_min > o->char_max)))
        return silr_fail(err, SILR_EINPUT,
                         "classifier: the shortest n-gram must have 1 or more parts and be no "
                         "longer than the longest (word_min <= word_max, char_min <= char_max)");
    if (o->word_max <= 0 && o->char_max <= 0)
        return silr_fail(err, SILR_EINPUT,
                         "classifier: no n-grams are left: set word_max or char_max above 0");
    SILR_ASSERT(o->bits >= 1);
    return SILR_OK;
}

/* --- frozen -------------------------------------------------------------------------------------- */

/* Texts of nothing but blanks are in no one's play: they need no vector. */
static const char *embed_text(const void *ctx, size_t i, size_t *len)
{
    const char *text = silr_corpus_text(ctx, i, len);

    if (silr_corpus_empty(ctx, i))
        *len = 0;
    return text;
}

static silr_status model_path(char **out, const silr_task *task, silr_error *err)
{
    return silr_hub_find_from(out, task->dir, task->classifier.model, err);
}

/* The encoder's name, and where it is: without links and dots, for whoever comes from elsewhere. */
static silr_status name_encoder(silr_encoder_name *n, const silr_task *task, silr_error *err)
{
    char *path = NULL, *whole;
    silr_status st = model_path(&path, task, err);

    if (st != SILR_OK)
        return st;
    whole = realpath(path, NULL);
    n->name = silr_strdup(task->classifier.model);
    n->place = silr_strdup(whole ? whole : path);
    n->opts = (silr_encoder_opts){.pooling = task->classifier.pooling,
                                  .max_tokens = (size_t)task->classifier.max_tokens};
    free(whole); /* of realpath */
    silr_free(path);
    return n->name && n->place ? SILR_OK : silr_fail_memory(err);
}

/* Where the vectors lie: classifier.cache beside the task file, else run/embeddings, else nowhere
 * (*out NULL). */
static silr_status vectors_folder(char **out, const silr_task *task, const char *run,
                                  silr_error *err)
{
    const char *cache = task->classifier.cache;

    *out = cache ? silr_path_join(task->dir, cache) : run ? silr_path_join(run, "embeddings") : NULL;
    return *out || (!cache && !run) ? SILR_OK : silr_fail_memory(err);
}

/* The vectors of the corpus; the encoder is gone again before anything is trained. */
static silr_status make_vectors(silr_embeddings **out, silr_encoder_name *n, const silr_task *task,
                                const silr_corpus *c, const char *run, silr_error *err)
{
    char *path = NULL, *folder = NULL;
    silr_encoder *e = NULL;
    silr_status st;

    *out = NULL;
    if ((st = model_path(&path, task, err)) != SILR_OK ||
        (st = vectors_folder(&folder, task, run, err)) != SILR_OK)
        goto done;
    silr_progress("loading the encoder", 0, 0);
    if ((st = silr_encoder_open(&e, path, &n->opts, err)) != SILR_OK)
        goto done;
    n->model = e->model;
    st = silr_embeddings_make(out, e, folder, embed_text, c, silr_corpus_size(c), err);
done:
    silr_encoder_free(e);
    silr_free(folder);
    silr_free(path);
    return st;
}

static silr_status frozen_new(silr_classifier **out, const silr_task *task, const silr_corpus *c,
                              const char *run, silr_error *err)
{
    silr_ngram_opts grams;
    silr_frozen_opts o = {.head = task->classifier.head,
                          .hidden = (size_t)task->classifier.hidden,
                          .recipe = task->refine.recipe,
                          .ngrams = task->classifier.ngrams ? &grams : NULL};
    silr_embeddings *vectors;
    silr_status st;

    if (!task->classifier.model)
        return silr_fail(err, SILR_EINPUT, "classifier.model is missing: name an encoder");
    if ((o.ngrams && (st = ngram_opts(&grams, task, err)) != SILR_OK) ||
        (st = name_encoder(&o.encoder, task, err)) != SILR_OK ||
        (st = make_vectors(&vectors, &o.encoder, task, c, run, err)) != SILR_OK)
        goto done;
    silr_progress("features", 0, 0);
    st = silr_frozen_new(out, &o, (int)task->n_classes, (const char *const *)task->classes, vectors,
                         corpus_text, c, err);
done:
    silr_encoder_name_clear(&o.encoder);
    return st;
}

/* --- qlora --------------------------------------------------------------------------------------- */

static silr_status scorer_opts(silr_scorer_opts *o, const silr_task *task, silr_error *err)
{
    const bool full = task->classifier.tune == SILR_TUNE_FULL;
    const size_t rank = (size_t)task->classifier.rank;

    *o = (silr_scorer_opts){.base = task->classifier.base,
                            .pooling = task->classifier.pooling,
                            .max_tokens = (size_t)task->classifier.max_tokens};
    o->tune = (silr_tune_opts){.dropout = full ? 0 : task->classifier.dropout, .matrices = full,
                              .norms = full, .embeddings = full,
                              .memory = (size_t)task->classifier.memory << 20,
                              .lora = {rank, task->classifier.alpha / (double)rank}};
    return full ? SILR_OK
                : silr_targets_parse(&o->tune.targets,
                                     task->classifier.targets ? task->classifier.targets : "q, v", err);
}

silr_status silr_classifier_memory(size_t *training, size_t *kept, const silr_task *task,
                                   const silr_weights *w, silr_error *err)
{
    const silr_model_spec *s = silr_weights_spec(w);
    const size_t batch = task->refine.batch > 0 ? (size_t)task->refine.batch : 1;
    const size_t longest = silr_scorer_longest((size_t)task->classifier.max_tokens, s);
    silr_scorer_opts o;
    silr_status st = scorer_opts(&o, task, err);

    *training = *kept = 0;
    if (st != SILR_OK)
        return st;
    o.tune.columns = task->n_classes == 2 ? 1 : task->n_classes;
    o.tune.train = true;
    *training = silr_tune_bytes(s, &o.tune, batch * longest);
    if (o.base == SILR_BASE_F32 && !o.tune.matrices) /* a second copy of each matrix, turned */
        *training += silr_engine_values(s) * sizeof(float);
    *kept = silr_tune_kept_bytes(s, batch * longest);
    return SILR_OK;
}

static silr_status qlora_new(silr_classifier **out, const silr_task *task, const silr_corpus *c,
                             silr_error *err)
{
    silr_scorer_opts o;
    silr_encoder_name base = {0};
    silr_status st = scorer_opts(&o, task, err);

    if (st != SILR_OK)
        return st;
    if (!task->classifier.model)
        return silr_fail(err, SILR_EINPUT, "classifier.model is missing: name a model to fine-tune");
    silr_progress("loading the model", 0, 0);
    if ((st = name_encoder(&base, task, err)) == SILR_OK &&
        (st = silr_encoder_hash(&base.model, base.place, err)) == SILR_OK)
        st = silr_qlora_new(out, &o, &base, (int)task->n_classes, (const char *const *)task->classes,
                            corpus_text, c, silr_corpus_size(c), err);
    silr_encoder_name_clear(&base);
    return st;
}

/* --- the door ------------------------------------------------------------------------------------ */

silr_status silr_classifier_new(silr_classifier **out, const silr_task *task, const silr_corpus *c,
                                const char *run, silr_error *err)
{
    silr_ngram_opts o;
    silr_status st;

    *out = NULL;
    if (task->classifier.kind == SILR_CLASSIFIER_FROZEN)
        return frozen_new(out, task, c, run, err);
    if (task->classifier.kind == SILR_CLASSIFIER_QLORA)
        return qlora_new(out, task, c, err);
    if ((st = ngram_opts(&o, task, err)) != SILR_OK)
        return st;
    return silr_ngram_new(out, &o, (int)task->n_classes, (const char *const *)task->classes,
                          corpus_text, c, silr_corpus_size(c), err);
}

silr_status silr_classifier_identity(silr_sha256 *out, const silr_task *task, silr_error *err)
{
    silr_status st;
    char *path;

    out->hex[0] = '\0';
    if (task->classifier.kind == SILR_CLASSIFIER_NGRAM || !task->classifier.model)
        return SILR_OK;
    if ((st = model_path(&path, task, err)) == SILR_OK)
        st = silr_encoder_hash(out, path, err);
    silr_free(path);
    return st;
}
